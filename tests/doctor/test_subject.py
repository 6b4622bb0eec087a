"""What the doctor takes from settings files of every kind."""

from pathlib import Path

import pytest

from orchestrator.doctor.findings import Status
from orchestrator.doctor.subject import read_subject, subject_of
from orchestrator.settings import OpenAISettings, RewardModelSettings, VerifierSettings

EXAMPLES = sorted((Path(__file__).parents[2] / "jobs" / "examples").glob("*.toml"))
SEARCH = """
[model]
base = "owner/base"
reference = { "owner/first" = 0.5, "owner/second" = 0.5 }
[data]
train = "pairs.jsonl"
[training.lora]
quantization = "nf4"
[evaluation]
prompts = "prompts.jsonl"
held_out = "held_out.jsonl"
[judge]
kind = "openai"
model = "gpt"
[ladder]
rungs = ["validation", "reward_model"]
[ladder.reward_model]
kind = "reward_model"
model = "owner/reward"
[finals.judge]
kind = "verifier"
[[rounds.scorers]]
kind = "pair_ranker"
model = "owner/ranker"
[[rounds.scorers]]
kind = "judge"
model = { kind = "vllm", model = "owner/rater" }
"""


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_has_something_to_look_at(file: Path) -> None:
    subject = subject_of(file)
    assert subject.cache is not None
    assert subject.judges or file.stem == "reward"


def test_all_models_judges_prompts_and_packages_of_a_search_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(SEARCH)
    subject = subject_of(tmp_path / "run.toml")
    assert subject.all_models == ("owner/base", "owner/first", "owner/second", "owner/ranker", "owner/rater", "owner/reward")
    assert [type(judge) for judge in subject.judges] == [OpenAISettings, VerifierSettings, RewardModelSettings]
    assert [file.name for file in subject.prompts] == ["prompts.jsonl", "held_out.jsonl"]
    assert subject.optional == ("bitsandbytes",)
    assert subject.precision == "bf16"


def test_settings_that_cannot_be_used_are_a_finding_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(SEARCH.replace("held_out =", "helt_out ="))
    _, (found,) = read_subject(tmp_path / "run.toml")
    assert found.status is Status.FAIL
    assert "helt_out (line 11): unknown key; did you mean" in found.found
    assert found.fix

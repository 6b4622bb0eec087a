"""A directory stays one run's: what would have trained another model is refused, what only takes less memory goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.claims import check_same
from orchestrator.cluster.single_runs import chosen_trial, write_down
from orchestrator.errors import UserError
from orchestrator.settings import Settings
from orchestrator.training.records import TRAINED

MADE = {"name": "mine", "cluster": {"workers": 4}, "training": {"learning_rate": 1e-6, "micro_batch_tokens": 8192, "lora": None}}


def changed(section: str, **values: Any) -> dict[str, Any]:
    return {**MADE, section: {**MADE[section], **values}}


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (changed("training", learning_rate=1e-5), "training.learning_rate was 1e-06, and is 1e-05"),
        (changed("training", lora={"rank": 4}), "training.lora was None, and is {'rank': 4}"),
        (changed("training", learning_rate=1e-5, warmup=0.2), "is 1e-05, and 1 more"),
        ({**MADE, "data": {"train": "pairs.jsonl"}}, "data was 'nothing', and is {'train': 'pairs.jsonl'}"),
    ],
)
def test_what_trains_another_model_is_refused_with_its_key_and_both_values(now: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        check_same(MADE, now, "a model", tmp_path)
    assert refused.value.what.startswith("this directory holds a model of other settings: ")
    assert words in refused.value.what
    assert (refused.value.code, refused.value.where) == ("DAA-0712", str(tmp_path))


def test_other_workers_another_name_and_less_memory_go_on(tmp_path: Path) -> None:
    check_same(MADE, changed("training", micro_batch_tokens=1024, zero_stage=3), "a model", tmp_path)
    check_same(MADE, {**changed("cluster", workers=2), "name": "renamed", "cache": "elsewhere"}, "a model", tmp_path)
    check_same(MADE, {**MADE, "judge": {"kind": "verifier"}}, "a model", tmp_path, ("training",))


def settings_of(**training: Any) -> Settings:
    given = {"model": {"base": "model"}, "data": {"train": "pairs.jsonl"}, "evaluation": {"prompts": "prompts.jsonl"}}
    return Settings.model_validate({**given, "judge": {"kind": "verifier"}, "training": training})


def test_a_trained_model_keeps_what_it_was_trained_with_and_one_that_has_no_checkpoint_may_be_begun_otherwise(tmp_path: Path) -> None:
    def write(beta: float = 0.1, **training: Any) -> None:
        settings = settings_of(**training)
        write_down(settings, chosen_trial(settings, ["dpo", f"beta={beta}"]), tmp_path)

    write(learning_rate=1e-6)
    write(learning_rate=1e-5)
    (run,) = (tmp_path / "checkpoints").iterdir()
    (run / "step-000004").mkdir()
    write(learning_rate=1e-5, micro_batch_tokens=64)
    with pytest.raises(UserError, match=r"a model of other settings: training\.learning_rate"):
        write(learning_rate=2e-5)
    write(beta=0.2, learning_rate=2e-5)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert json.loads((run / TRAINED).read_text())["settings"]["training"]["learning_rate"] == 1e-5

"""What is looked at in which order, and what a quick look leaves out."""

from typing import Any

import pytest

from orchestrator.doctor.steps import Asked, Step, local_steps, quick
from orchestrator.doctor.subject import Subject
from orchestrator.settings import JudgeSettings, OpenAISettings, RewardModelSettings, VerifierSettings, VllmJudgeSettings

LOADED = [VllmJudgeSettings(kind="vllm", model="m"), RewardModelSettings(kind="reward_model", model="m")]
ASKED = [OpenAISettings(kind="openai", model="m"), VerifierSettings(kind="verifier")]


def names(steps: Any) -> list[str]:
    return [step.name for step in steps]


@pytest.mark.parametrize("judge", [*LOADED, *ASKED], ids=lambda judge: judge.kind)
def test_a_quick_look_starts_no_engine_for_a_judge_and_asks_the_others(judge: JudgeSettings) -> None:
    steps = list(local_steps(Asked(Subject(judges=(judge,))), lambda *_: []))
    left = set(names(steps)) - set(names(quick(steps)))
    assert left == {"libraries", "engine"} | ({"the judge's model"} if judge in LOADED else set())
    assert ("judge" in names(quick(steps))) == (judge in ASKED)


def test_a_quick_look_tells_what_it_left_out() -> None:
    looked = list(quick(Step(name, list) for name in ("settings", "libraries", "the judge's model", "the judge's model")))
    assert names(looked) == ["settings", "quick"]
    assert [found.found for found in looked[-1].run()] == ["not tried: libraries, the judge's model"]

"""What a search is refused for before anything starts."""

from pathlib import Path

import pytest

from orchestrator.cluster.workers.preparing import checked_inputs
from orchestrator.errors import UserError
from orchestrator.settings import Settings

PLAIN = '{"prompt": "Hi"}\n'
KNOWN = '{"prompt": "2+2?", "answer": "4", "reference": "four"}\n'


def settings(directory: Path, judge: str, **changes: object) -> Settings:
    """Settings whose prompts have all that a judge may need, and whose held-out prompts have not; their data are not there."""
    (directory / "prompts.jsonl").write_text(KNOWN)
    (directory / "held_out.jsonl").write_text(KNOWN + PLAIN)
    evaluation = {"prompts": directory / "prompts.jsonl", "held_out": directory / "held_out.jsonl"}
    needed = {"model": {"base": "m"}, "data": {"train": str(directory / "absent.jsonl")}, "evaluation": evaluation}
    return Settings.model_validate(needed | {"judge": judge_of(judge)} | changes)


def judge_of(kind: str) -> dict[str, str]:
    """A judge of this kind."""
    return {"kind": kind, "model": "m"} if kind == "openai" else {"kind": kind}


@pytest.mark.parametrize(
    ("judge", "of_finals", "what"),
    [
        ("verifier", None, "neither `answer` nor `pattern`"),
        ("reference", None, "no `reference`"),
        ("openai", "verifier", "neither `answer` nor `pattern`"),
        ("verifier", "reference", "no `reference`"),
    ],
)
def test_a_held_out_prompt_that_the_judge_of_the_finals_cannot_use_is_refused_at_once(
    judge: str, of_finals: str | None, what: str, tmp_path: Path
) -> None:
    changes = {"finals": {"judge": judge_of(of_finals)}} if of_finals else {}
    with pytest.raises(UserError, match=what) as refused:
        checked_inputs(settings(tmp_path, judge, **changes), tmp_path)
    assert refused.value.where == f"{tmp_path / 'held_out.jsonl'}, prompt 1" and refused.value.cure


@pytest.mark.parametrize(
    ("judge", "of_finals", "is_judged"), [("verifier", "openai", True), ("openai", None, True), ("verifier", None, False)]
)
def test_a_prompt_that_no_judge_compares_answers_with_needs_none(
    judge: str, of_finals: str | None, is_judged: bool, tmp_path: Path
) -> None:
    changes = {"finals": {"judge": judge_of(of_finals)}} if of_finals else {}
    with pytest.raises(UserError, match="no data file"):
        checked_inputs(settings(tmp_path, judge, **changes), tmp_path, is_judged)

"""The reference judge: chrF against a reference answer."""

import pytest

from evals.errors import SettingsError, UserError
from evals.judges.reference import ReferenceJudge
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message

FOX = EvaluationPrompt("fox", (Message("user", "Who jumps?"),), reference="the quick brown fox")


def judged(candidate: str, baseline: str, tie_margin: float = 0.0) -> float | None:
    return ReferenceJudge(tie_margin).judge([Match(FOX, candidate, baseline)])[0].candidate_score


def test_the_response_nearer_to_the_reference_wins_on_either_side() -> None:
    assert judged("the quick brown fox", "a slow dog") == 1.0
    assert judged("a slow dog", "the quick brown fox") == 0.0


def test_equal_responses_tie() -> None:
    assert judged("a fox", "a fox") == 0.5


def test_a_difference_within_the_margin_is_a_tie() -> None:
    assert judged("the quick brown fox", "the quick brown box") == 1.0
    assert judged("the quick brown fox", "the quick brown box", tie_margin=30.0) == 0.5


def test_the_name_tells_the_version_of_the_metric() -> None:
    assert ReferenceJudge().name.startswith("chrf (sacrebleu 2.")


def test_a_prompt_without_a_reference_is_refused_by_its_id() -> None:
    with pytest.raises(UserError, match="no `reference`") as refusal:
        ReferenceJudge().judge([Match(EvaluationPrompt("bare", ()), "x", "y")])
    assert "bare" in refusal.value.where


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(SettingsError, match="negative"):
        ReferenceJudge(-1.0)

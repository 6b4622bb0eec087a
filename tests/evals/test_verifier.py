"""The verifier: exact answers."""

import pytest

from evals.errors import UserError
from evals.judges.verifier import VerifierJudge, is_right
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message
from evals.scorers.direct import VerifierScorer
from evals.scoring import ScoredItem


def prompt(answer: str | None = None, pattern: str | None = None) -> EvaluationPrompt:
    return EvaluationPrompt("sum", (Message("user", "2+2?"),), answer=answer, pattern=pattern)


@pytest.mark.parametrize(
    ("candidate", "baseline", "score"), [("4", "5", 1.0), ("5", "4", 0.0), ("4", " 4\n", 0.5), ("5", "6", 0.5), ("", "4", 0.0)]
)
def test_right_beats_wrong_and_equals_tie(candidate: str, baseline: str, score: float) -> None:
    (verdict,) = VerifierJudge().judge([Match(prompt(answer="4"), candidate, baseline)])
    assert (verdict.prompt_id, verdict.candidate_score, verdict.candidate_shown_first) == ("sum", score, None)


@pytest.mark.parametrize(("text", "right"), [("a  b\n", True), ("ab", False), ("a b c", False), ("A b", False)])
def test_white_space_does_not_make_an_answer_wrong_and_all_else_does(text: str, right: bool) -> None:
    assert is_right(prompt(answer="a b"), text) is right


@pytest.mark.parametrize(("text", "right"), [(" 42 \n", True), ("42 apples", False), ("x42", False)])
def test_a_pattern_must_match_the_whole_response(text: str, right: bool) -> None:
    assert is_right(prompt(pattern=r"\d+"), text) is right


def test_with_answer_and_pattern_both_must_hold() -> None:
    assert is_right(prompt(answer="42", pattern=r"\d+"), "42")
    assert not is_right(prompt(answer="42", pattern=r"\d{3}"), "42")
    assert not is_right(prompt(answer="41", pattern=r"\d+"), "42")


def test_a_pattern_that_tries_every_way_through_a_text_leaves_its_match_unread_instead_of_holding_the_run() -> None:
    endless = prompt(pattern="(a|aa)+b")
    (verdict,) = VerifierJudge().judge([Match(endless, "a" * 200, "aab")])
    assert verdict.candidate_score is None
    assert "(a|aa)+b found no end in 1 s" in verdict.reason
    assert VerifierScorer().score([ScoredItem(endless, "a" * 200), ScoredItem(endless, "aab")]) == [None, 1.0]


@pytest.mark.parametrize(("broken", "what"), [(prompt(), "neither"), (prompt(pattern="("), "no regular expression")])
def test_a_prompt_that_cannot_be_verified_is_refused_by_its_id(broken: EvaluationPrompt, what: str) -> None:
    with pytest.raises(UserError, match=what) as refusal:
        VerifierJudge().judge([Match(broken, "x", "y")])
    assert "sum" in refusal.value.where

"""The pairwise question: its order must not change the story."""

import math
import random

import pytest

from evals.judges.pairwise_prompt import ask_for_text, ask_for_token, candidate_is_first, score_from_text, score_from_tokens
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message

MATCH = Match(EvaluationPrompt("sky", (Message("user", "Why is {the} sky blue?"),)), "CANDIDATE {x}", "BASELINE")


@pytest.mark.parametrize("ask", [ask_for_token, ask_for_text])
@pytest.mark.parametrize("candidate_first", [True, False])
def test_the_judge_sees_both_texts_in_the_order_that_is_told(ask, candidate_first: bool) -> None:
    (message,) = ask(MATCH, candidate_first)
    assert "Why is {the} sky blue?" in message.content
    assert (message.content.index("CANDIDATE {x}") < message.content.index("BASELINE")) is candidate_first


@pytest.mark.parametrize("ask", [ask_for_token, ask_for_text])
def test_the_question_does_not_tell_who_is_the_candidate(ask) -> None:
    mirrored = Match(MATCH.prompt, MATCH.baseline, MATCH.candidate)
    assert ask(MATCH, True) == ask(mirrored, False)


@pytest.mark.parametrize("logprobs", [{"m": -0.1, "M": -2.5}, {"m": -0.3}, {"M": -0.3}, {"m": -900.0, "M": -901.0}])
def test_swapping_the_order_and_the_answer_tells_the_same_story_by_tokens(logprobs: dict[str, float]) -> None:
    swapped = {{"m": "M", "M": "m"}[label]: value for label, value in logprobs.items()}
    first, second = score_from_tokens(logprobs, True), score_from_tokens(swapped, False)
    assert first is not None
    assert first == pytest.approx(second)


@pytest.mark.parametrize(("answer", "swapped"), [("[[A]]", "[[B]]"), ("[[B]]", "[[A]]"), ("[[C]]", "[[C]]")])
def test_swapping_the_order_and_the_answer_tells_the_same_story_by_text(answer: str, swapped: str) -> None:
    assert score_from_text(answer, True) == score_from_text(swapped, False)


def test_the_score_is_the_candidates_share_of_the_two_labels() -> None:
    logprobs = {"m": math.log(0.6), "M": math.log(0.2)}
    assert score_from_tokens(logprobs, True) == pytest.approx(0.75)
    assert score_from_tokens(logprobs, False) == pytest.approx(0.25)


def test_an_absent_label_has_no_share_and_two_absent_labels_are_unreadable() -> None:
    assert score_from_tokens({"m": -3.0}, True) == 1.0
    assert score_from_tokens({"m": -3.0}, False) == 0.0
    assert score_from_tokens({}, True) is None


def test_the_last_verdict_in_the_text_counts() -> None:
    assert score_from_text("At first [[B]], but after all: [[A]]", True) == 1.0


@pytest.mark.parametrize("text", ["", "A", "[A]", "[[D]]", "[[A"])
def test_a_text_without_a_verdict_is_unreadable(text: str) -> None:
    assert score_from_text(text, True) is None


def test_the_order_is_alpacaevals_draw_on_the_instruction() -> None:
    expected = random.Random("is_switched_outputsWhy is {the} sky blue?7").choices([False, True], k=1)[0]
    assert candidate_is_first(MATCH.prompt, 7) is expected


def test_half_of_the_prompts_show_the_candidate_first() -> None:
    prompts = [EvaluationPrompt(str(number), (Message("user", f"question {number}"),)) for number in range(1000)]
    assert 450 < sum(candidate_is_first(prompt, 0) for prompt in prompts) < 550

"""Numbers are written with their doubt, and an unknown number is never written as one."""

import pytest

from orchestrator.report import words
from orchestrator.search.leaderboard import HeldOut, Row


def test_a_win_rate_is_written_with_its_interval() -> None:
    assert words.win_rate(Row("001", "dpo", {}, win_rate=43.24, low=39.8, high=46.55)) == "43.2 (39.8–46.5)"


def test_a_win_rate_of_zero_is_written_and_an_absent_one_is_not_scored() -> None:
    assert words.win_rate(Row("001", "dpo", {}, win_rate=0.0, low=0.0, high=1.0)) == "0.0 (0.0–1.0)"
    assert words.win_rate(Row("001", "dpo", {})) == "not scored"


def test_hyperparameters_are_written_to_three_digits() -> None:
    values = {"beta": 0.123456, "learning_rate": 5e-07, "steps": 1234567, "precision": "bf16", "smooth": True}
    assert words.hyperparameters(values) == "beta=0.123 learning_rate=5e-07 steps=1234567 precision=bf16 smooth=True"
    assert words.hyperparameters({}) == ""


@pytest.mark.parametrize(
    ("win_rate", "low", "high", "sentence"),
    [
        (60.0, 55.0, 65.0, "better by 10.0 points (95 % 5.0 to 15.0)."),
        (40.0, 35.0, 45.0, "worse by 10.0 points."),
        (52.0, 47.0, 57.0, "the two are not distinguishable on these prompts."),
        (50.0, 50.0, 50.0, "the two are not distinguishable on these prompts."),
    ],
)
def test_a_verdict_claims_a_difference_only_when_the_interval_leaves_out_equality(
    win_rate: float, low: float, high: float, sentence: str
) -> None:
    verdict = words.verdict(HeldOut("001-dpo", win_rate, low, high, judged=400, unreadable=1))
    assert verdict.endswith(sentence)
    assert f"{win_rate:.1f} % of 400 held-out prompts (95 % {low:.1f}–{high:.1f}), against the base model" in verdict

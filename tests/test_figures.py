"""Figures are written alike wherever they stand."""

import pytest

from orchestrator.figures import duration, outcome, signed, span, with_interval
from orchestrator.report.page import html
from orchestrator.rounds.results import RoundResult, table


def test_a_difference_too_small_to_be_seen_has_no_minus_on_the_page_and_elsewhere() -> None:
    assert (signed(-0.04), span(-0.04, 0.06), html.signed(-0.04), html.number(-0.004, 2)) == ("+0.0", "+0.0 to +0.1", "+0.0", "0.00")
    card = {"win_rate": 50.0, "low": 45.0, "high": 55.0}
    verdicts = {f"p{number}": 0.5 for number in range(40)}
    rounds = [RoundResult(number, "m", card, {**verdicts, "p": 0.5 - 1e-9 * number}, {}) for number in (1, 2)]
    assert "| 50.0 (45.0–55.0) | +0.0 (" in table(rounds)


def test_an_interval_may_be_named() -> None:
    assert with_interval({"win_rate": 50.04, "low": 45.0, "high": 55.0}, "95 % ") == "50.0 (95 % 45.0–55.0)"


@pytest.mark.parametrize(("hours", "words"), [(0.5, "30.0 minutes"), (1.99, "119.4 minutes"), (2.0, "2.0 hours")])
def test_from_two_hours_on_a_time_is_told_in_hours(hours: float, words: str) -> None:
    assert duration(hours) == words


def test_a_verdict_is_a_win_a_tie_a_loss_or_unreadable() -> None:
    assert [outcome(score) for score in (1.0, 0.51, 0.5, 0.49, 0.0, None)] == ["win", "win", "tie", "loss", "loss", "unreadable"]

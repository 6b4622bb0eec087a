"""How numbers are written wherever people read them."""

from collections.abc import Mapping
from typing import Any

from orchestrator.search.leaderboard import HeldOut, Row


def win_rate(row: Row) -> str:
    """A win rate with its 95 % interval."""
    if row.win_rate is None or row.low is None or row.high is None:
        return "not scored"
    return f"{row.win_rate:.1f} ({row.low:.1f}–{row.high:.1f})"


def hyperparameters(values: Mapping[str, Any]) -> str:
    """name=value pairs, numbers to three digits."""
    return " ".join(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items())


def verdict(found: HeldOut) -> str:
    """The winner against the base model, in one sentence."""
    points, low, high = found.win_rate - 50, found.low - 50, found.high - 50
    measured = f"{found.win_rate:.1f} % of {found.judged} held-out prompts (95 % {found.low:.1f}–{found.high:.1f}), against the base model"
    if low > 0:
        return f"{found.trial} wins {measured}: better by {points:.1f} points (95 % {low:.1f} to {high:.1f})."
    if high < 0:
        return f"{found.trial} wins only {measured}: worse by {-points:.1f} points."
    return f"{found.trial} wins {measured}: the two are not distinguishable on these prompts."

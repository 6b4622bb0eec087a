"""How figures are written wherever people read them."""

from collections.abc import Mapping
from typing import Any

# From here on a time is told in hours.
HOURS = 2.0


def with_interval(found: Mapping[str, Any], named: str = "") -> str:
    """The `win_rate` of a scorecard or the like, with its interval, which may be `named`."""
    return f"{found['win_rate']:.1f} ({named}{found['low']:.1f}–{found['high']:.1f})"


def signed(value: float) -> str:
    """A difference in points; one that is too small to be seen has no minus."""
    return f"{value:+z.1f}"


def span(low: float, high: float) -> str:
    """The ends of a difference's interval."""
    return f"{signed(low)} to {signed(high)}"


def duration(hours: float, minute: str = "minutes", hour: str = "hours") -> str:
    """A time in the unit that fits it."""
    return f"{hours:.1f} {hour}" if hours >= HOURS else f"{60 * hours:.1f} {minute}"


def outcome(score: float | None) -> str:
    """What a verdict says of the candidate."""
    return "unreadable" if score is None else "win" if score > 0.5 else "loss" if score < 0.5 else "tie"

"""The ranges that objectives declare for their hyperparameters."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class _Between:
    """Numbers between `low` and `high`, the ends included; only `whole` ones where that is so."""

    low: float
    high: float
    whole: bool = False

    def contains(self, value: float) -> bool:
        """True for a number within the range, its ends included."""
        return self.low <= value <= self.high

    def nearest(self, value: float) -> float:
        """The number of the range that is nearest to this one: an int where the range is of whole ones."""
        inside = min(max(float(value), self.low), self.high)
        return round(inside) if self.whole else inside


@dataclass(frozen=True)
class Uniform(_Between):
    """Any number between `low` and `high`, all equally likely."""


@dataclass(frozen=True)
class LogUniform(_Between):
    """Any number between `low` and `high`, every order of magnitude equally likely."""


@dataclass(frozen=True)
class Choice:
    """One of `options`."""

    options: Sequence[float | int | str | bool]

    def contains(self, value: float | str | bool) -> bool:
        """True for one of the options."""
        return value in self.options


Distribution = Uniform | LogUniform | Choice

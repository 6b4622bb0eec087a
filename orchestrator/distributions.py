"""The ranges that objectives declare for their hyperparameters."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Uniform:
    """Any number between `low` and `high`, all equally likely."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        """True for a number within the range, its ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class LogUniform:
    """Any number between `low` and `high`, every order of magnitude equally likely."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        """True for a number within the range, its ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of `options`."""

    options: Sequence[float | int | str | bool]

    def contains(self, value: float | str | bool) -> bool:
        """True for one of the options."""
        return value in self.options


Distribution = Uniform | LogUniform | Choice

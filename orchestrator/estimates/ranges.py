"""A figure that is not known yet."""

from __future__ import annotations

from dataclasses import asdict, dataclass

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Range:
    """What is expected, and between what it will probably lie."""

    low: float
    expected: float
    high: float

    @staticmethod
    def exactly(value: float) -> Range:
        """A figure without doubt."""
        return Range(value, value, value)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        factor = other if isinstance(other, Range) else Range.exactly(other)
        return Range(self.low * factor.low, self.expected * factor.expected, self.high * factor.high)

    def largest(self, *others: Range) -> Range:
        """The largest of each bound: what takes longest of what happens side by side."""
        every = (self, *others)
        return Range(*(max(getattr(each, name) for each in every) for name in ("low", "expected", "high")))

    def holds(self, value: float) -> bool:
        """Whether a figure, when it is known, lies where it was expected."""
        return self.low * (1 - _ROUNDING) <= value <= self.high * (1 + _ROUNDING)

    def as_dict(self) -> dict[str, float]:
        """A JSON-ready form."""
        return asdict(self)

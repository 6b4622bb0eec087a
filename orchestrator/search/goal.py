"""Which number decides, and which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from orchestrator.search.ledger import Event


@dataclass(frozen=True)
class Goal:
    """The metric of a scorecard that a search maximises or minimises."""

    metric: str = "win_rate"
    mode: Literal["max", "min"] = "max"

    def best(self, scores: Iterable[Event]) -> Event:
        """The best of some score events; the later step on equal values."""
        return max(scores, key=lambda event: (self.key(event["scorecard"][self.metric]), event["step"]))

    def key(self, value: float) -> float:
        """A sorting key: larger is better."""
        return value if self.mode == "max" else -value

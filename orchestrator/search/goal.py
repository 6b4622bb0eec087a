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
        """The best of some score events: among those on the most prompts, the best value; the later step on equal ones."""
        return max(scores, key=lambda event: (asked(event), self.key(event["scorecard"][self.metric]), event["step"]))

    def key(self, value: float) -> float:
        """A sorting key: larger is better."""
        return value if self.mode == "max" else -value


def asked(event: Event) -> int:
    """On how many prompts a score stands, those with an unreadable verdict included."""
    return event["scorecard"]["judged"] + event["scorecard"]["unreadable"]

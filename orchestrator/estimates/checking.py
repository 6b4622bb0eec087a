"""What was expected of a search beside what it took, from its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.estimates.ranges import Range
from orchestrator.search.budget import Meter
from orchestrator.search.ledger import Event, trials_of_search

EVENT = "estimate"


@dataclass(frozen=True)
class Checked:
    """A figure that was expected, and the real one; `unit` is empty for counts."""

    name: str
    unit: str
    expected: Range
    real: float

    @property
    def held(self) -> bool:
        """Whether it lay where it was expected."""
        return self.expected.holds(self.real)


def checked(events: Sequence[Event]) -> list[Checked]:
    """Each figure of the first estimate that the ledger can tell the truth of; none for a search without an estimate."""
    told = next((event for event in events if event["event"] == EVENT), None)
    if told is None:
        return []
    spent = Meter(events).spent(events[-1]["time"])
    search = trials_of_search(events)
    trained = {(event["trial"], event["step"]) for event in events if event["event"] == "checkpoint" and event["trial"] in search}
    real = {
        "checkpoints": ("checkpoints trained", "", float(len(trained))),
        "judgments": ("judgments", "", float(spent.judgments)),
        "hours": ("wall time", "hours", spent.hours),
        "gpu_hours": ("GPU time", "GPU-hours", spent.gpu_hours),
        "cost": ("money for the judge", "", spent.cost),
    }
    return [Checked(name, unit, Range(**told[key]), value) for key, (name, unit, value) in real.items() if told.get(key) is not None]

"""What was expected of a search beside what it took, from its ledger."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.estimates.ranges import Range
from orchestrator.search.budget import Meter
from orchestrator.search.ledger import Events

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


def checked(events: Events) -> list[Checked]:
    """Each figure of the first estimate that the ledger can tell the truth of; none for a search without an estimate."""
    told = events.first(EVENT)
    if told is None:
        return []
    spent = Meter(events).spent(events[-1]["time"])
    real = {
        "checkpoints": ("checkpoints trained", "", float(len(events.reached))),
        "judgments": ("judgments", "", float(spent.judgments)),
        "hours": ("wall time", "hours", spent.hours),
        "gpu_hours": ("GPU time", "GPU-hours", spent.gpu_hours),
        "cost": ("money for the judge", "", spent.cost),
    }
    return [Checked(name, unit, Range(**told[key]), value) for key, (name, unit, value) in real.items() if told.get(key) is not None]

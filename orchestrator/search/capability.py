"""What finalists still can: their shares of right answers beside the base model's, question by question."""

from dataclasses import asdict, dataclass
from typing import Any

from evals.benchmarks.score import BenchmarkScore
from evals.comparison import Comparison, compared
from orchestrator.search.leaderboard import BASE
from orchestrator.search.ledger import Events


@dataclass(frozen=True)
class Capability:
    """A model's right answers to one task, in percent with a 95 % interval, and the paired difference to those of the base model."""

    trial: str
    task: str
    score: float
    low: float
    high: float
    questions: int
    change: Comparison | None

    @property
    def fell(self) -> bool:
        """Whether the model surely, at 95 %, answers fewer questions than the base model."""
        return self.change is not None and self.change.high < 0

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {**asdict(self), "fell": self.fell}


def capabilities(events: Events) -> list[Capability]:
    """What the ledger has of each model, the base model first."""
    latest = {event["trial"]: [BenchmarkScore(**score) for score in event["scores"]] for event in events.of("capability")}
    base = {score.benchmark: score for score in latest.get(BASE, ())}
    return [_capability(trial, score, base if trial != BASE else {}) for trial, scores in latest.items() for score in scores]


def _capability(trial: str, score: BenchmarkScore, base: dict[str, BenchmarkScore]) -> Capability:
    change = compared(score, base[score.benchmark]) if score.benchmark in base else None
    task = score.benchmark.removeprefix("capability ")
    return Capability(trial, task, score.score, score.low, score.high, score.judged, change)

"""A model's score on a benchmark, with its doubt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evals.statistics import interval_within


@dataclass(frozen=True)
class BenchmarkScore:
    """The headline `score` with its standard error and 95 % interval, and how many verdicts it rests on.

    Scores are in percent (AlpacaEval 2, Arena-Hard) or points from 1 to 10 (MT-Bench). `unreadable` verdicts are in no score. `details`
    are the benchmark's own figures under their official names. `influence` holds each prompt's share of the error, in units of the score:
    the sum of their squares is the squared standard error, and of differences between two models', that of the difference.
    """

    benchmark: str
    model: str
    judge: str
    score: float
    standard_error: float
    low: float
    high: float
    judged: int
    unreadable: int
    details: Mapping[str, Any] = field(default_factory=dict)
    influence: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def baseline(self) -> str:
        """Whom the model was judged against; empty on a benchmark without a baseline, and where the files do not say."""
        return str(self.details.get("baseline", ""))

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form, the details beside the rest."""
        own = {key: value for key, value in vars(self).items() if key not in ("details", "influence")}
        return own | dict(self.details)


def interval(score: float, standard_error: float, units: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """The 95 % interval of a mean over `units` independent prompts, within the scale's bounds: see `evals.statistics.interval_within`."""
    low, span = bounds[0], bounds[1] - bounds[0]
    # MT-Bench's scale begins at 1, and some judges give a 0.
    found = interval_within(min(1.0, max(0.0, (score - low) / span)), standard_error / span, units)
    return min(score, low + span * found.low), max(score, low + span * found.high)

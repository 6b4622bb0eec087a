"""Two models on the same prompts: how far apart, how surely, and what difference so many prompts could show at all."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

from evals.benchmarks.score import BenchmarkScore
from evals.errors import UserError
from evals.statistics import NO_SPREAD, student_p, student_quantile, wilson_interval

POWER = 0.8
# From the lowest score to the highest, where that is not from 0 to 100.
SPANS = {"mt_bench": 9.0}
_DETECTED = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Comparison:
    """The first model's score less the second's, paired by prompt, in units of the scores; `low` and `high` bound 95 %.

    `p` is the two-sided chance of such a difference between equals. `detectable` is the smallest true difference that this many prompts
    show at the 5 % level in four of five repetitions. The error is 0 where no prompt differs from the others.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    p: float
    detectable: float
    prompts: int

    @property
    def least_p(self) -> float:
        """What p cannot fall below, however clear the prompts are: the chance that as many coins fall alike."""
        return 2 * 0.5**self.prompts

    def within(self, span: float) -> "Comparison":
        """The same within a scale's `span`: no difference is larger than that."""
        return replace(self, low=max(-span, self.low), high=min(span, self.high), detectable=min(span, self.detectable))

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def compare_scores(first: BenchmarkScore, second: BenchmarkScore) -> Comparison:
    """Compare two models' scores on one benchmark by the influence of each prompt, so that also length-controlled scores are paired.

    Raises UserError for scores of different benchmarks, judges or baselines, or with fewer than two prompts in common.
    """
    told = [(score.benchmark, score.judge, score.baseline) for score in (first, second)]
    for what, one, other in zip(("benchmarks", "judges", "baselines"), *told, strict=True):
        if one != other:
            named = " and ".join(each or "one without a name" for each in (one, other))
            raise UserError(f"scores of two {what} cannot be compared: {named}", "compare", "judge both models alike")
    span = SPANS.get(first.benchmark, 100.0)
    return paired(first.score - second.score, first.influence, second.influence, span).within(span)


def compared(first: BenchmarkScore, second: BenchmarkScore) -> Comparison | None:
    """The same; None where fewer than two prompts are common to both, which say nothing. Raises UserError as `compare_scores` does."""
    return compare_scores(first, second) if len(first.influence.keys() & second.influence.keys()) > 1 else None


def compare_verdicts(first: Mapping[str, float], second: Mapping[str, float]) -> Comparison:
    """Compare two checkpoints by their verdicts in [0, 1] on the prompts that both have, as a difference in percent.

    Raises UserError without at least two such prompts.
    """
    both = sorted(first.keys() & second.keys())
    if len(both) < 2:
        raise UserError(f"{len(both)} prompts have verdicts on both models", "compare", "score both on the same prompts")
    ours, theirs = ({prompt: scores[prompt] for prompt in both} for scores in (first, second))
    means = [sum(scores.values()) / len(both) for scores in (ours, theirs)]
    return paired(100 * (means[0] - means[1]), mean_influence(ours), mean_influence(theirs)).within(100.0)


def mean_influence(scores: Mapping[str, float]) -> dict[str, float]:
    """Each prompt's share of the error of the mean of scores in [0, 1], in percent: the sum of the squares is the squared error."""
    mean, scale = sum(scores.values()) / len(scores), 100 / math.sqrt(len(scores) * max(len(scores) - 1, 1))
    return {prompt: scale * (score - mean) for prompt, score in scores.items()}


def paired(difference: float, first: Mapping[str, float], second: Mapping[str, float], span: float = 100.0) -> Comparison:
    """Compare by the prompts' influences; a prompt that only one model has a verdict on counts for that one alone.

    Where no prompt differs from the others there is no spread to see, and yet a doubt about the prompts not asked: up to the share of
    them that Wilson's bound allows may differ by the scale's whole `span`. The interval is as wide as the doubt, also beyond the scale.
    """
    if len(first.keys() & second.keys()) < 2:
        raise UserError("the two models have fewer than two prompts in common", "compare", "judge both on the same prompts")
    # In one order, or sums would differ from run to run in their last digits.
    prompts = sorted(first.keys() | second.keys())
    error = math.sqrt(sum((first.get(prompt, 0.0) - second.get(prompt, 0.0)) ** 2 for prompt in prompts))
    freedom = len(prompts) - 1
    quantile = student_quantile(freedom, 0.95)
    error = error if error > NO_SPREAD * span else 0.0
    doubt = error or span * wilson_interval(0.0, len(prompts)).high / quantile
    low, high = difference - quantile * doubt, difference + quantile * doubt
    found = Comparison(difference, error, low, high, student_p(difference / doubt, freedom), _DETECTED * doubt, len(prompts))
    return replace(found, p=max(found.p, found.least_p))

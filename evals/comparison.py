"""Two models on the same prompts: how far apart, how surely, and what difference so many prompts could show at all."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from evals.benchmarks.score import BenchmarkScore
from evals.errors import UserError
from evals.statistics import student_p, student_quantile

POWER = 0.8
_DETECTED = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Comparison:
    """The first model's score less the second's, paired by prompt, in units of the scores; `low` and `high` bound 95 %.

    `p` is the two-sided chance of such a difference between equals. `detectable` is the smallest true difference that this many prompts
    show at the 5 % level in four of five repetitions.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    p: float
    detectable: float
    prompts: int

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def compare_scores(first: BenchmarkScore, second: BenchmarkScore) -> Comparison:
    """Compare two models' scores on one benchmark by the influence of each prompt, so that also length-controlled scores are paired.

    Raises UserError for scores of different benchmarks or judges, or without a prompt in common.
    """
    for what, one, other in (("benchmarks", first.benchmark, second.benchmark), ("judges", first.judge, second.judge)):
        if one != other:
            raise UserError(f"scores of two {what} cannot be compared: {one} and {other}", "compare", "judge both models alike")
    return paired(first.score - second.score, first.influence, second.influence)


def compare_verdicts(first: Mapping[str, float], second: Mapping[str, float]) -> Comparison:
    """Compare two checkpoints by their verdicts in [0, 1] on the prompts that both have, as a difference in percent.

    Raises UserError without at least two such prompts.
    """
    both = sorted(first.keys() & second.keys())
    if len(both) < 2:
        raise UserError(f"{len(both)} prompts have verdicts on both models", "compare", "score both on the same prompts")
    ours, theirs = ({prompt: scores[prompt] for prompt in both} for scores in (first, second))
    means = [sum(scores.values()) / len(both) for scores in (ours, theirs)]
    scale = 100 / math.sqrt(len(both) * (len(both) - 1))
    shares = [{prompt: scale * (scores[prompt] - mean) for prompt in both} for scores, mean in zip((ours, theirs), means, strict=True)]
    return paired(100 * (means[0] - means[1]), *shares)


def paired(difference: float, first: Mapping[str, float], second: Mapping[str, float]) -> Comparison:
    """Compare by the prompts' influences; a prompt that only one model has a verdict on counts for that one alone."""
    if len(first.keys() & second.keys()) < 2:
        raise UserError("the two models have no prompts in common", "compare", "judge both on the same prompts")
    prompts = first.keys() | second.keys()
    error = math.sqrt(sum((first.get(prompt, 0.0) - second.get(prompt, 0.0)) ** 2 for prompt in prompts))
    freedom = len(prompts) - 1
    half = student_quantile(freedom, 0.95) * error
    p = student_p(difference / error, freedom) if error > 0 else 1.0 if difference == 0 else 0.0
    return Comparison(difference, error, difference - half, difference + half, p, _DETECTED * error, len(prompts))

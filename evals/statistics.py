"""Means of per-prompt scores with their doubt, and Student's distribution."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, stdev

from evals.errors import UserError

# Below this spread the scores are equal up to rounding: their sample deviation says nothing about the prompts not asked.
NO_SPREAD = 1e-9
# Above this many degrees of freedom two terms of the Cornish-Fisher expansion give Student's quantile to seven digits.
LARGE = 1000


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """Estimate the mean of per-prompt scores in [0, 1], one score per prompt: see `interval_within`.

    Raises UserError when there are no scores, when one is outside [0, 1], or when `confidence` is not inside (0, 1).
    """
    if not scores or not all(0 <= score <= 1 for score in scores):
        raise UserError("an interval needs at least one score, each from 0 to 1", cure="drop unreadable verdicts before averaging")
    if not 0 < confidence < 1:
        raise UserError(f"the confidence {confidence} is not between 0 and 1", cure="give a fraction, such as 0.95")
    error = stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0
    return interval_within(fmean(scores), error, len(scores), confidence)


def clustered_interval(scores: Sequence[float], clusters: Sequence[Hashable], confidence: float = 0.95) -> Interval:
    """Estimate the mean of scores in [0, 1] of which those of one cluster, such as a prompt, may hang together.

    The error sums over clusters (Miller 2024, arXiv:2411.00640), which count as so many prompts in `interval_within`.
    """
    if len(scores) != len(clusters) or not scores or not all(0 <= score <= 1 for score in scores):
        raise UserError("an interval needs at least one score, each from 0 to 1 and in a cluster", cure="drop what is unreadable")
    mean, sums = fmean(scores), defaultdict[Hashable, float](float)
    for score, cluster in zip(scores, clusters, strict=True):
        sums[cluster] += score - mean
    count = len(sums)
    error = math.sqrt(count / max(1, count - 1) * sum(part**2 for part in sums.values())) / len(scores)
    return interval_within(mean, error if count > 1 else 0.0, count, confidence)


def interval_within(mean: float, error: float, count: int, confidence: float = 0.95, freedom: int | None = None) -> Interval:
    """The interval of a mean in [0, 1] over `count` independent prompts, with its standard error of `freedom` degrees (count - 1).

    Wilson's, of as many trials as would leave that error (Korn & Graubard 1998), with Student's quantile: in the middle it is Student's
    interval, and near 0 and 1, where that holds the true mean less often than it says, it leans inwards and never leaves the range. Scores
    that lie close together say little of the prompts not asked: up to the share of them that Wilson's bound of none in `count` allows may
    be 0 or 1. Scores that are all equal count as `count` trials.
    """
    if error < NO_SPREAD or not 0 < mean < 1:
        return wilson_interval(mean, count, confidence)
    found = _wilson(mean, mean * (1 - mean) / error**2, student_quantile(freedom or max(1, count - 1), confidence))
    unseen = wilson_interval(0.0, count, confidence).high
    return Interval(mean, min(found.low, mean * (1 - unseen)), max(found.high, mean + (1 - mean) * unseen))


@cache
def student_quantile(freedom: int, confidence: float) -> float:
    """Find the t for which [-t, t] holds `confidence` of Student's distribution (Abramowitz & Stegun 26.7.3-4, by bisection)."""
    if freedom > LARGE:
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_mass(middle, freedom) < confidence else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def student_p(t: float, freedom: int) -> float:
    """The two-sided p value of Student's t: the mass outside [-|t|, |t|]."""
    return max(0.0, 1 - _central_mass(math.atan(abs(t) / math.sqrt(freedom)), freedom))


def holm(ps: Sequence[float], family: int | None = None) -> list[float]:
    """P values of one family, corrected so that the chance of any wrong finding is bounded (Holm 1979).

    A `family` larger than what is given has other members that show nothing: their p values are 1.
    """
    adjusted, worst, size = [0.0] * len(ps), 0.0, len(ps) if family is None else family
    for place, number in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        worst = max(worst, min(1.0, (size - place) * ps[number]))
        adjusted[number] = worst
    return adjusted


def _central_mass(angle: float, freedom: int) -> float:
    """Student's mass in [-t, t], with t = tan(angle) * sqrt(freedom): a finite series for whole degrees of freedom."""
    cosine, odd = math.cos(angle), freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for power in range(2 + odd, freedom - 1, 2):
        term *= (power - 1) / power * cosine**2
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def wilson_interval(mean: float, count: int, confidence: float = 0.95) -> Interval:
    """Wilson's interval of a mean in [0, 1] over `count` prompts: it has width even where all scores are equal."""
    return _wilson(mean, count, NormalDist().inv_cdf((1 + confidence) / 2))


def _wilson(mean: float, count: float, quantile: float) -> Interval:
    z2 = quantile**2
    centre = (mean + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (mean * (1 - mean) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return Interval(mean, min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half)))


def probability(logprob: float | None) -> float:
    """What a log-probability stands for, from 0 to 1; 0 for none, and for what a server tells that is no number."""
    return 0.0 if logprob is None or math.isnan(logprob) else math.exp(min(logprob, 0.0))

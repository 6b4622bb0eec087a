"""The answer: which configuration is best, by how much, on prompts that the search never used, and whether the difference is real.

The best is chosen on the fresh prompts, among few finalists. So that it does not matter which of them turned out best, all pairs of
finalists and the base model are corrected together: intervals by Bonferroni, p values by Holm. Without fresh prompts the family is all
pairs of checkpoints that the search scored, for each of them might have turned out best.

Fresh prompts take the luck with prompts out of the choice. The luck with the first seed, under which a finalist was chosen, stays in its
mean over seeds, thinned out by the others.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from statistics import fmean, variance
from typing import Any

from evals.comparison import POWER, mean_influence, paired
from evals.statistics import holm, interval_within, student_p, student_quantile
from orchestrator.search.leaderboard import BASE, Row, leaderboard
from orchestrator.search.ledger import Event, Events
from orchestrator.settings.search import CONTROL

LEVEL = 0.05

Verdicts = Mapping[str, float]  # In [0, 1], by prompt.


@dataclass(frozen=True)
class Finalist:
    """A configuration on the fresh prompts: the win rate over all its seeds in percent, its interval and what it stands on."""

    trial: str
    method: str
    hyperparameters: dict[str, Any]
    win_rate: float
    low: float
    high: float
    seeds: int
    prompts: int
    checkpoint: str


@dataclass(frozen=True)
class Difference:
    """The first's win rate less the second's, in points, with an interval and a p value that hold for all pairs at once.

    Holm's p value is the sharper of the two: it may fall below 5 % where Bonferroni's interval still touches zero. `detectable` is the
    smallest true difference that the interval leaves zero for in four of five repetitions.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    detectable: float

    @property
    def is_real(self) -> bool:
        """Whether the two are distinguishable."""
        return self.p < LEVEL

    def turned(self) -> "Difference":
        """The same, told from the second's side."""
        return Difference(self.second, self.first, -self.difference, -self.high, -self.low, self.p, self.detectable)


@dataclass(frozen=True)
class Answer:
    """The best finalist first. `differences` are the best's, to the base model, to tuned plain DPO and to the runner-up.

    `is_fresh` is False when there were no prompts but those that the search chose by. `seed_deviation` is the standard deviation between
    seeds of one configuration, in points; None where each has only one.
    """

    finalists: tuple[Finalist, ...]
    differences: tuple[Difference, ...]
    is_fresh: bool
    seed_deviation: float | None

    @property
    def best(self) -> Finalist:
        """The best configuration."""
        return self.finalists[0]

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {**asdict(self), "differences": [{**asdict(each), "is_real": each.is_real} for each in self.differences]}


def finalists(events: Events, count: int) -> list[Row]:
    """The best `count` trials of the search, and the best plain DPO where it is not among them."""
    rows = [row for row in leaderboard(events) if row.trial != BASE and row.win_rate is not None]
    control = [row for row in rows[count:] if row.method == CONTROL]
    return rows[:count] + (control[:1] if all(row.method != CONTROL for row in rows[:count]) else [])


@dataclass(frozen=True)
class _Seeds:
    """How far the win rates of one configuration's seeds are apart, as variances in squared points, pooled over configurations.

    `between` is the variance of the rates, `added` what remains of it without the share that prompts answered anew bring; `between` stands
    on `freedom` degrees of freedom.
    """

    added: float = 0.0
    between: float = 0.0
    freedom: int = 0


def answer(events: Events) -> Answer | None:
    """What the ledger says; None while no trial is scored."""
    rows = {row.trial: row for row in leaderboard(events) if row.trial != BASE and row.win_rate is not None}
    if not rows:
        return None
    seeds, scored = _by_seed(events, rows), {(event["trial"], event["step"]) for event in events.of("score")}
    is_fresh = bool(seeds)
    if not is_fresh:
        seeds = {row.trial: [_readable(score)] for row in finalists(events, 2) if (score := events.score_at(row.trial, row.step))}
    means = {trial: _mean_over_seeds(of_trial) for trial, of_trial in seeds.items()}
    spread = _between_seeds(seeds)
    pairs = list(combinations([*seeds, BASE], 2))
    family = len(pairs) if is_fresh else math.comb(len(scored) + 1, 2)
    found = {pair: _difference(pair, means, spread, _per_seed(pair, seeds), 1 - LEVEL / family) for pair in pairs}
    corrected = holm([each.p for each in found.values()], family)
    found = {pair: replace(each, p=p) for (pair, each), p in zip(found.items(), corrected, strict=True)}
    # The leaderboard knows better than the rate alone where not all were asked the same prompts.
    ranked = sorted(seeds, key=lambda trial: -found[trial, BASE].difference) if is_fresh else list(seeds)
    told = tuple(_finalist(rows[trial], found[trial, BASE], len(seeds[trial]), len(means[trial])) for trial in ranked)
    of_interest = dict.fromkeys([BASE, *_control(told), *ranked[1:2]])
    best = ranked[0]
    differences = tuple(found[best, other] if (best, other) in found else found[other, best].turned() for other in of_interest)
    return Answer(told, differences, is_fresh, math.sqrt(spread.added) if spread.freedom else None)


def _by_seed(events: Events, ranked: Mapping[str, Row]) -> dict[str, list[Verdicts]]:
    """The held-out verdicts of each finalist, one set for each seed; a finalist without a prompt readable under all seeds has none.

    Finalists whose scores in the search were taken out of the ledger are passed over.
    """
    found: dict[str, dict[int, Verdicts]] = defaultdict(dict)
    for event in events.of("held_out"):
        if event["trial"] in ranked:
            found[event["trial"]][event["seed"]] = _readable(event)
    return {trial: list(seeds.values()) for trial, seeds in found.items() if _mean_over_seeds(list(seeds.values()))}


def _readable(event: Event) -> Verdicts:
    return {prompt: score for prompt, score in event["verdicts"].items() if score is not None}


def _mean_over_seeds(seeds: Sequence[Verdicts]) -> Verdicts:
    """Each prompt's mean over the seeds, of the prompts that are readable under every seed."""
    common = set.intersection(*(set(verdicts) for verdicts in seeds))
    return {prompt: fmean(verdicts[prompt] for verdicts in seeds) for prompt in seeds[0] if prompt in common}


def _between_seeds(seeds: Mapping[str, Sequence[Verdicts]]) -> _Seeds:
    """The seeds' component of a two-way random-effects analysis of variance, prompts by seeds, pooled over configurations."""
    between, within, freedom = 0.0, 0.0, 0
    for of_trial in seeds.values():
        mean = _mean_over_seeds(of_trial)
        if len(of_trial) < 2 or len(mean) < 2:
            continue
        rates = [fmean(verdicts[prompt] for prompt in mean) for verdicts in of_trial]
        rest = sum((v[p] - rate - mean[p] + fmean(rates)) ** 2 for v, rate in zip(of_trial, rates, strict=True) for p in mean)
        degrees = len(of_trial) - 1
        between += degrees * variance(rates)
        within += rest / (len(mean) - 1) / len(mean)
        freedom += degrees
    return _Seeds(100**2 * max(0.0, between - within) / freedom, 100**2 * between / freedom, freedom) if freedom else _Seeds()


def _per_seed(pair: tuple[str, str], seeds: Mapping[str, Sequence[Verdicts]]) -> float:
    """How much of the variance of one seed is in a difference of means over seeds; the base model has none."""
    return sum(1 / len(seeds[trial]) for trial in pair if trial != BASE)


def _difference(pair: tuple[str, str], means: Mapping[str, Verdicts], seeds: _Seeds, per_seed: float, level: float) -> Difference:
    """One pair, its interval at this level and its p value uncorrected. The base model, always second, wins half against itself."""
    verdicts = [means.get(trial, dict.fromkeys(means[pair[0]], 0.5)) for trial in pair]
    prompts = verdicts[0].keys() & verdicts[1].keys()
    limit = 50.0 if BASE in pair else 100.0
    if len(prompts) < 2:
        rates = [fmean(each.values()) for each in verdicts]
        return Difference(*pair, 100 * (rates[0] - rates[1]), -limit, limit, 1.0, limit)
    ours, theirs = ({p: scores[p] for p in scores if p in prompts} for scores in verdicts)
    found = paired(100 * (fmean(ours.values()) - fmean(theirs.values())), mean_influence(ours), mean_influence(theirs))
    of_prompts = ((found.high - found.low) / (2 * student_quantile(found.prompts - 1, 0.95))) ** 2
    error = math.sqrt(of_prompts + per_seed * seeds.added)
    freedom = _freedom(error**2, (of_prompts, found.prompts - 1), (per_seed * seeds.between, seeds.freedom))
    half = student_quantile(freedom, level) * error
    low, high = max(-limit, found.difference - half), min(limit, found.difference + half)
    if BASE in pair:
        # Without a spread to see, the doubt is the interval's own.
        seen = error if found.standard_error else math.sqrt(per_seed * seeds.added)
        rate = interval_within(0.5 + found.difference / 100, seen / 100, found.prompts, level, freedom)
        low, high = 100 * rate.low - 50, 100 * rate.high - 50
    # One-sided, t of 80 % is the two-sided one of 60 %.
    detectable = min(limit, half + student_quantile(freedom, 2 * POWER - 1) * error)
    p = max(found.least_p, student_p(found.difference / error, freedom))
    return Difference(*pair, found.difference, low, high, p, detectable)


def _freedom(total: float, *parts: tuple[float, int]) -> int:
    """The degrees of freedom of a sum of variances, each with its own (Satterthwaite 1946)."""
    doubt = sum(part**2 / freedom for part, freedom in parts if freedom)
    return max(1, math.floor(total**2 / doubt))


def _finalist(row: Row, against_base: Difference, seeds: int, prompts: int) -> Finalist:
    bounds = (50 + against_base.difference, max(0.0, 50 + against_base.low), min(100.0, 50 + against_base.high))
    return Finalist(row.trial, row.method, row.hyperparameters, *bounds, seeds, prompts, str(row.checkpoint))


def _control(ranked: Sequence[Finalist]) -> list[str]:
    """The best plain DPO, unless it is the best of all."""
    control = next((each.trial for each in ranked if each.method == CONTROL), None)
    return [control] if control is not None and control != ranked[0].trial else []

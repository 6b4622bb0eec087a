"""Cheaper measures than the judge: how far each one ranks trials as the judge does, and what it may therefore decide. Decisions only."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np

from orchestrator.search.goal import METRIC
from orchestrator.search.ledger import Event, Events
from orchestrator.settings import LadderSettings

Figures = Sequence[tuple[float, float]]

# 1 - Phi(a) + a phi(a) = 0.05: a Brownian motion is ever above sqrt(v (a^2 + log v)), for v from 1 on, with probability 0.05
# (Robbins & Siegmund 1970).
_A = 2.5002
# The variance of atanh(tau) of n pairs of normal variables is about 0.437 / (n - 4) (Fieller, Hartley & Pearson 1957).
_FIELLER, _FEWEST = 0.437, 5


class Measure(StrEnum):
    """What a checkpoint is measured by, the cheapest first; the last one is the truth."""

    VALIDATION = "validation"
    REWARD_MODEL = "reward_model"
    LOCAL_JUDGE = "local_judge"
    JUDGE = "judge"


class Action(StrEnum):
    """What becomes of a checkpoint: the judge sees it; it is spared the judge; or the judge sees it to test the proxy."""

    JUDGE = "judge"
    PRUNE = "prune"
    AUDIT = "audit"


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b over `trials`, and a lower bound of it; `tau` is None where either side is the same for all trials.

    The bound holds for all numbers of trials from `looks_from` on at once, so that it may be looked at after each: in about 95 % of
    searches the true tau is never below it.
    """

    trials: int
    tau: float | None = None
    low: float = -1.0

    def __str__(self) -> str:
        if self.tau is None:
            return f"no rank correlation yet over {self.trials} trials"
        return f"tau {self.tau:.2f} (95 % above {self.low:.2f}) over {self.trials} trials"


@dataclass(frozen=True)
class Correlation:
    """How far a proxy ranks the search's trials as the judge does."""

    rung: Measure
    measured: RankCorrelation


@dataclass(frozen=True)
class Trust:
    """Whether a proxy may prune at the moment, and why."""

    may_prune: bool
    reason: str
    measured: RankCorrelation


@dataclass(frozen=True)
class Decision:
    """What becomes of a checkpoint, and why. `is_below` the cut are those that are pruned or would be, but for the audit."""

    action: Action
    reason: str

    @property
    def is_judged(self) -> bool:
        """True when the judge is asked."""
        return self.action is not Action.PRUNE

    @property
    def is_below(self) -> bool:
        """True for a checkpoint that the proxy puts below the cut; the number of these decides which is audited."""
        return self.action is not Action.JUDGE


def rank_correlation(proxy: Sequence[float], truth: Sequence[float], looks_from: int = 8) -> RankCorrelation:
    """Measure Kendall's tau-b of two figures of the same trials, with its lower bound.

    The bound is asymptotic, on the scale of atanh(tau): the larger of Fieller's variance and the jackknife's, times a factor that allows
    for looking again with each trial (Robbins & Siegmund 1970), after a correction for continuity by half a step of tau. Fewer than five
    trials, or a figure that one trial alone makes vary, give no bound: -1.
    """
    count = len(truth)
    sums, of_proxy, of_truth = _agreements(proxy, truth), _untied(proxy), _untied(truth)
    agreement, all_proxy, all_truth = sum(sums), sum(of_proxy), sum(of_truth)
    total = _tau(agreement, all_proxy, all_truth)
    if total is None:
        return RankCorrelation(count)
    # Without trial i its row and its column go.
    rest = list(zip(sums, of_proxy, of_truth, strict=True))
    without = [_tau(agreement - 2 * s, all_proxy - 2 * p, all_truth - 2 * t) for s, p, t in rest]
    known = [value for value in without if value is not None]
    if count < _FEWEST or len(known) < count:
        return RankCorrelation(count, total)
    return RankCorrelation(count, total, _lower_bound(total, known, looks_from))


def may_prune(pairs_so_far: Figures, rules: LadderSettings) -> Trust:
    """Whether a proxy may prune, from its figure and the judge's of each trial that has both. Ask again with every trial that is scored."""
    measured = rank_correlation([proxy for proxy, _ in pairs_so_far], [truth for _, truth in pairs_so_far], rules.fewest)
    if measured.trials < rules.fewest:
        reason = f"{measured.trials} trials have both figures, and {rules.fewest} are needed"
    elif measured.tau is None:
        reason = "one of the figures is the same for all trials"
    elif measured.low < rules.least_correlation:
        reason = f"{measured}, and {rules.least_correlation:g} is needed"
    elif not rules.prune:
        reason = f"{measured}: it could prune, and ladder.prune is off"
    else:
        return Trust(True, str(measured), measured)
    return Trust(False, reason, measured)


def prune(trust: Trust, values: Mapping[str, float], candidate: str, rules: LadderSettings, below_before: int) -> Decision:
    """Whether the judge is spared a candidate, by the proxy's values of all trials at the same step, the candidate's among them.

    `below_before` counts this proxy's earlier decisions that were `is_below`: the first and then every `rules.audit`-th is judged anyway.
    Trials that tie with the last one kept are kept too; a candidate without a value is judged.
    """
    own = values.get(candidate)
    if not trust.may_prune:
        return Decision(Action.JUDGE, trust.reason)
    if own is None or not math.isfinite(own):
        return Decision(Action.JUDGE, "it has no figure of this kind")
    known = [value for value in values.values() if math.isfinite(value)]
    # As the decimal that was written: 0.7 of 10 is 7, which a product of floats may exceed.
    kept = math.ceil(Fraction(str(rules.keep)) * len(known))
    better = sum(value > own for value in known)
    place = f"{own:.4g} is number {better + 1} of {len(known)} at this step, of which the best {kept} are judged"
    if better < kept:
        return Decision(Action.JUDGE, place)
    if below_before % rules.audit == 0:
        return Decision(Action.AUDIT, f"{place}; judged to test the proxy, as one in {rules.audit} is")
    return Decision(Action.PRUNE, f"{place}; {trust.reason}")


def proxy_value(event: Event, rung: Measure) -> float | None:
    """What a score event says by a proxy; None where it says nothing, never 0."""
    if rung is Measure.VALIDATION:
        return event.get("training", {}).get("validation_accuracy")
    return event.get("proxies", {}).get(rung.value)


def figures(scores: Sequence[Event], rung: Measure) -> list[tuple[float, float]]:
    """(proxy, judge) of each trial whose `scores` have both, at its last step, with the most verdicts there."""
    latest: dict[str, tuple[tuple[int, int], tuple[float, float]]] = {}
    for event in scores:
        value, card = proxy_value(event, rung), event.get("scorecard")
        if value is None or not math.isfinite(value) or card is None:
            continue
        order = (event["step"], card["judged"])
        if event["trial"] not in latest or order >= latest[event["trial"]][0]:
            latest[event["trial"]] = (order, (value, card[METRIC]))
    return [pair for _, pair in latest.values()]


def correlations(events: Events) -> list[Correlation]:
    """Each proxy that the ledger has figures of, the cheapest first."""
    found = []
    for rung in Measure:
        pairs = figures(events.of("score"), rung) if rung is not Measure.JUDGE else []
        if pairs:
            found.append(Correlation(rung, rank_correlation([a for a, _ in pairs], [b for _, b in pairs])))
    return found


def _tau(agreement: int, untied_proxy: int, untied_truth: int) -> float | None:
    if not untied_proxy or not untied_truth:
        return None
    return agreement / math.sqrt(untied_proxy * untied_truth)


def _lower_bound(tau: float, without: Sequence[float], looks_from: int) -> float:
    count, mean = len(without), sum(without) / len(without)
    jackknife = (count - 1) / count * sum((value - mean) ** 2 for value in without)
    corrected = tau - 2 / (count * (count - 1))
    if corrected <= -1:
        return -1.0
    variance = max(_FIELLER / (count - 4), jackknife / (1 - corrected**2) ** 2)
    factor = math.sqrt(_A**2 + math.log(max(1.0, count / looks_from)))
    return math.tanh(math.atanh(corrected) - factor * math.sqrt(variance))


def _agreements(proxy: Sequence[float], truth: Sequence[float]) -> list[int]:
    """With how many others each trial is in the same order by both figures, less those that it is in opposite orders with."""
    first, second = np.asarray(proxy, dtype=float), np.asarray(truth, dtype=float)
    return [int(np.sign(a - first) @ np.sign(c - second)) for a, c in zip(first, second, strict=True)]


def _untied(side: Sequence[float]) -> list[int]:
    """How many others each figure differs from."""
    equal = Counter(side)
    return [len(side) - equal[own] for own in side]

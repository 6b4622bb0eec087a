"""Paired racing: all trials answer the same prompts in the same order, and one that is surely worse than the leader is dropped.

Judging two trials on the same prompts halves the variance of their difference, so that every decision is made on such differences.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from evals.anytime import log_wealth, upper_bound

# With fewer verdicts no difference is sure.
FEWEST_PROMPTS = 25

Scores = Sequence[float | None]  # Verdicts in [0, 1] in the shared order of prompts; None where one was unreadable.
Standings = Mapping[str, Scores]  # The trials that were scored at one step.


@dataclass(frozen=True)
class Rung:
    """A checkpoint after `step` training steps, scored on the first `prompts` of the shared order."""

    step: int
    prompts: int


@dataclass(frozen=True)
class Rules:
    """What decides in a race of `trials`.

    A trial is dropped when it is surely worse than the leader by more than `margin` points: `error_rate` is the chance that, in the
    whole search, any checkpoint's best trial is. It is set aside when it is behind the leader by more than `doubt` standard errors of
    their difference, which says that money is spent better elsewhere; with infinite doubt none is.
    """

    rungs: tuple[Rung, ...]
    trials: int
    error_rate: float = 0.05
    margin: float = 0.0
    doubt: float = 2.0

    @property
    def error_share(self) -> float:
        """The error rate of one comparison: at each step, the best trial may be compared with all others."""
        return self.error_rate / (len({rung.step for rung in self.rungs}) * max(1, self.trials - 1))

    def after(self, step: int, prompts: int) -> Rung | None:
        """The next rung at the same step; None when the step is done."""
        return next((rung for rung in self.rungs if rung.step == step and rung.prompts > prompts), None)

    def first(self, step: int) -> Rung:
        """Where the scoring of a checkpoint begins."""
        return next(rung for rung in self.rungs if rung.step == step)


@dataclass(frozen=True)
class Decision:
    """Whether a trial goes on, and in words why not."""

    goes_on: bool
    reason: str = ""


GO_ON = Decision(True)


def rungs(steps: Sequence[int], prompts: int, growth: float = 2.0) -> tuple[Rung, ...]:
    """All rungs of a race, in order: the last step is scored on all prompts, each step before it on 1/`growth` of the next one's.

    A step's scoring begins with as many prompts as the step before it ended with, and grows likewise.
    """
    levels = [prompts]
    while (smaller := max(FEWEST_PROMPTS, math.ceil(levels[0] / growth))) < levels[0] / 1.25:
        levels.insert(0, smaller)
    found, begin = [], 0
    for number, step in enumerate(steps):
        end = max(0, len(levels) - len(steps) + number)
        found += [Rung(step, levels[place]) for place in range(begin, end + 1)]
        begin = end
    return tuple(found)


def nested_order(strata: Sequence[str], seed: int) -> list[int]:
    """An order of prompts whose every beginning has each stratum's share, up to one prompt; within strata it is random.

    `strata` names each prompt's stratum; the order is a function of `strata` and `seed` alone.
    """
    chance = random.Random(seed)
    places: list[tuple[float, float, int]] = []
    for stratum in sorted(set(strata)):
        members = [number for number, name in enumerate(strata) if name == stratum]
        chance.shuffle(members)
        offset = chance.random()
        places += [((rank + offset) / len(members), chance.random(), number) for rank, number in enumerate(members)]
    return [number for _, _, number in sorted(places)]


def decide(standings: Standings, trial: str, rung: Rung, rules: Rules) -> Decision:
    """Whether a trial that was scored at a rung goes on. `standings` are all trials' scores at that step, those dropped included."""
    means = {name: mean for name, scores in standings.items() if (mean := mean_of(scores, rung.prompts)) is not None}
    if trial not in means:
        return GO_ON
    leader = max((name for name in means if name != trial), key=means.__getitem__, default=None)
    if leader is None:
        return GO_ON
    return _against(standings, trial, leader, rung, rules) if means[leader] > means[trial] else GO_ON


def mean_of(scores: Scores, prompts: int) -> float | None:
    """The mean of the readable ones of the first `prompts` verdicts; None where a trial has not so many, or none is readable."""
    if len(scores) < prompts:
        return None
    readable = [score for score in scores[:prompts] if score is not None]
    return sum(readable) / len(readable) if readable else None


def differences(first: Scores, second: Scores, prompts: int) -> list[float]:
    """First less second, on those of the first `prompts` on which both have a readable verdict."""
    pairs = zip(first[:prompts], second[:prompts], strict=True)
    return [one - other for one, other in pairs if one is not None and other is not None]


def _against(standings: Standings, trial: str, leader: str, rung: Rung, rules: Rules) -> Decision:
    found = differences(standings[trial], standings[leader], rung.prompts)
    if len(found) < FEWEST_PROMPTS:
        return GO_ON
    behind, error = -100 * fmean(found), 100 * stdev(found) / math.sqrt(len(found))
    where = f"on {len(found)} prompts at step {rung.step}"
    if log_wealth(found, -rules.margin / 100) >= -math.log(rules.error_share):
        least = -100 * upper_bound(found, rules.error_share)
        return Decision(False, f"surely worse than {leader}: behind by {behind:.1f} points, at least {least:.1f}, {where}")
    if behind > rules.margin + rules.doubt * error:
        return Decision(False, f"set aside: behind {leader} by {behind:.1f} points, standard error {error:.1f}, {where}")
    return GO_ON

"""Paired racing: all trials answer the same prompts in the same order, and one that is surely worse than the leader is dropped.

Judging two trials on the same prompts halves the variance of their difference, so that every decision is made on such differences.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from evals.anytime import log_wealth, upper_bound

# With fewer verdicts no difference is sure.
FEWEST_PROMPTS = 25
# The luck of a leader of so many trials is within `doubt`.
_FEW_TRIALS = 16

Scores = Sequence[float | None]  # Verdicts in [0, 1] in the shared order of prompts; None where one was unreadable.


@dataclass(frozen=True)
class Rung:
    """A trial's `checkpoint`, counted from 1, scored on the first `prompts` of the shared order."""

    checkpoint: int
    prompts: int


@dataclass(frozen=True)
class Rules:
    """What decides in a race of `trials`.

    A trial is dropped when it is surely worse than the leader by more than `margin` points: `error_rate` is the chance that, in the
    whole search, any checkpoint's best trial is. It is set aside when it is behind the leader by more than `doubt` standard errors of
    their difference, which says that money is spent better elsewhere; with infinite doubt none is. At the first rung of a race of many
    trials it takes more (see `doubt_at`).
    """

    rungs: tuple[Rung, ...]
    trials: int
    error_rate: float = 0.05
    margin: float = 0.0
    doubt: float = 2.0

    @property
    def error_share(self) -> float:
        """The error rate of one comparison: at each checkpoint, the best trial may be compared with all others."""
        return self.error_rate / (len({rung.checkpoint for rung in self.rungs}) * max(1, self.trials - 1))

    def doubt_at(self, rung: Rung) -> float:
        """So many standard errors behind the leader, a trial is set aside at a rung.

        All trials come to the first rung, and the more they are, the luckier is the one that leads: the largest of n normal variables
        lies about sqrt(2 ln n) standard deviations above their mean. `doubt` is meant for the luck of a few trials; what more of them add
        is added here. By itself, the leader has 1/sqrt(2) of a difference's standard error.
        """
        if self.rungs[:1] != (rung,):
            return self.doubt
        return self.doubt + (_luck(max(_FEW_TRIALS, self.trials)) - _luck(_FEW_TRIALS)) / math.sqrt(2)


@dataclass(frozen=True)
class Decision:
    """Whether a trial goes on; if not, in words why, and the trial that it was compared with."""

    goes_on: bool
    reason: str = ""
    against: str = ""


GO_ON = Decision(True)


def rungs(checkpoints: int, prompts: int, growth: float = 2.0) -> tuple[Rung, ...]:
    """All rungs of a race, in order: the last checkpoint is scored on all prompts, each one before it on 1/`growth` of the next one's.

    A checkpoint's scoring begins with as many prompts as that of the one before ended with, and grows likewise.
    """
    levels = [prompts]
    while (smaller := max(FEWEST_PROMPTS, math.ceil(levels[0] / growth))) < levels[0] / 1.25:
        levels.insert(0, smaller)
    found, begin = [], 0
    for checkpoint in range(1, checkpoints + 1):
        end = max(0, len(levels) - 1 - checkpoints + checkpoint)
        found += [Rung(checkpoint, levels[place]) for place in range(begin, end + 1)]
        begin = end
    return tuple(found)


def last_rungs(laid: Sequence[Rung]) -> tuple[Rung, ...]:
    """The largest rung of each checkpoint, for schedulers that want one score of each."""
    return tuple({rung.checkpoint: rung for rung in laid}.values())


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


class Race:
    """A race under way, whose trials are scored at every rung that they come to.

    A rung's leader is all that it keeps, since nothing else decides and a verdict never changes: neither the time of a decision nor the
    memory grows with the trials. The decisions are those that all scores so far would give.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._leaders: dict[Rung, tuple[float, str, Scores]] = {}

    def add(self, trial: str, rung: Rung, scores: Scores) -> Decision:
        """A trial was scored at a rung: whether it goes on. A score that is told again changes nothing."""
        mean = mean_of(scores, rung.prompts)
        if mean is None:
            return GO_ON
        best, leader, leading = self._leaders.setdefault(rung, (mean, trial, scores))
        if mean > best:
            self._leaders[rung] = (mean, trial, scores)
        return compare(scores, leader, leading, rung, self._rules) if best > mean else GO_ON


def compare(scores: Scores, leader: str, leading: Scores, rung: Rung, rules: Rules) -> Decision:
    """Whether a trial with these scores goes on in the face of a leader's."""
    found = differences(scores, leading, rung.prompts)
    if len(found) < FEWEST_PROMPTS:
        return GO_ON
    behind, error = -100 * fmean(found), 100 * standard_error(found)
    where = f"on {len(found)} prompts at checkpoint {rung.checkpoint}"
    if log_wealth(found, -rules.margin / 100) >= -math.log(rules.error_share):
        least = -100 * upper_bound(found, rules.error_share)
        return Decision(False, f"surely worse than {leader}: behind by {behind:.1f} points, at least {least:.1f}, {where}", leader)
    if behind > rules.margin + rules.doubt_at(rung) * error:
        return Decision(False, f"set aside: behind {leader} by {behind:.1f} points, standard error {error:.1f}, {where}", leader)
    return GO_ON


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


def standard_error(found: Sequence[float]) -> float:
    """Of the mean of differences in [-1, 1], with half a win and half a loss more than were seen, and as many draws.

    Where two trials differ on one prompt only, the plain error is as large as the difference, whatever it is worth. Agresti & Min 2005
    (Statistics in Medicine 24) so mend the interval of two proportions that were measured on the same subjects.
    """
    count = len(found) + 2
    mean = sum(found) / count
    return math.sqrt(((sum(each * each for each in found) + 1) / count - mean * mean) / count)


def _luck(trials: int) -> float:
    return math.sqrt(2 * math.log(trials))

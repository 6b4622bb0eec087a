"""Whose turn it is: which of the competing methods gets the next trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Literal

Allocation = Literal["equal", "bandit"]
# The paper's setting for rewards between 0 and 1.
_ALPHA = 0.5


@dataclass(frozen=True)
class Arm:
    """A method in the competition: its trials so far, running ones too, and its best win rate, 0 to 100; None when nothing is known."""

    method: str
    trials: int = 0
    best: float | None = None

    def with_trial(self) -> "Arm":
        """After one more trial was given to it."""
        return replace(self, trials=self.trials + 1)

    def with_win_rate(self, value: float) -> "Arm":
        """After a win rate became known, of a trial at any of its checkpoints."""
        return replace(self, best=value if self.best is None else max(self.best, value))


def next_method(allocation: Allocation, arms: Sequence[Arm]) -> str:
    """The method that gets the next trial; the earlier one where two are as good. `arms` must not be empty."""
    return _next_equal(arms) if allocation == "equal" else _next_bandit(arms)


def shares(limits: Mapping[str, int | None], trials: int) -> dict[str, int]:
    """How many of `trials` each method gets under "equal"; `limits` says how many different settings it has, None for no end of them."""
    given = dict.fromkeys(limits, 0)
    for _ in range(trials):
        takers = [Arm(method, count) for method, count in given.items() if limits[method] is None or count < (limits[method] or 0)]
        if not takers:
            break
        given[_next_equal(takers)] += 1
    return given


def uneven(given: Mapping[str, int], trials: int) -> str | None:
    """One line about shares that are not the same for all or do not use up `trials`; None when there is nothing to tell."""
    if len(set(given.values())) == 1 and sum(given.values()) == trials:
        return None
    counts = sorted(set(given.values()), reverse=True)
    groups = [f"{count or 'none'} for {', '.join(method for method, share in given.items() if share == count)}" for count in counts]
    total = sum(given.values())
    lead = "trials for each method" if total == trials else f"{total} of the {trials} trials use up all that there is to try"
    return f"{lead}: {'; '.join(groups)}"


def _next_equal(arms: Sequence[Arm]) -> str:
    return min(arms, key=lambda arm: arm.trials).method


def _next_bandit(arms: Sequence[Arm]) -> str:
    """MaxUCB (Balef, Vernade & Eggensperger 2025, arXiv:2505.05226), for the best trial rather than the best mean.

    After one trial for each arm, the next goes to the highest max(rewards) + (alpha ln t / n)^2. Trials that are still running count
    in n and t, so that trials at the same time do not all go to one arm. An arm without any win rate stands where the lowest known does.
    """
    if any(arm.trials == 0 for arm in arms):
        return _next_equal(arms)
    lowest = min((arm.best for arm in arms if arm.best is not None), default=0.0)
    total = sum(arm.trials for arm in arms)

    def bound(arm: Arm) -> float:
        return (lowest if arm.best is None else arm.best) / 100 + (_ALPHA * log(total) / arm.trials) ** 2

    return max(arms, key=bound).method

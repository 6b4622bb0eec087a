"""What it means to judge: two responses to one prompt, told from the candidate's side."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from evals.prompts import EvaluationPrompt


@dataclass(frozen=True)
class Match:
    """The candidate's response beside the baseline's, to the same prompt.

    `draw` is the prompt's place, from 0, when its set draws lots: a judge that looks closer at some prompts takes the first ones. None
    where the matches of one call are the whole set.
    """

    prompt: EvaluationPrompt
    candidate: str
    baseline: str
    draw: int | None = None


@dataclass(frozen=True)
class Verdict:
    """The judge's word on one match.

    `candidate_score` is in [0, 1]: 1 the candidate wins, 0.5 a tie, 0 it loses; None when the judge's answer was unreadable.
    `candidate_shown_first` is None for judges that have no order. `reason` is the judge's own text, if any; `in_both_orders` the two
    scores that were asked for, this order's first, where both were; `cost` what the verdict cost.
    """

    prompt_id: str
    candidate_score: float | None
    candidate_shown_first: bool | None = None
    reason: str = ""
    in_both_orders: tuple[float, float] | None = None
    cost: float = 0.0


@runtime_checkable
class Judge(Protocol):
    """Compares two responses. `name` identifies the judge and its version in scorecards."""

    @property
    def name(self) -> str: ...

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match, in order."""
        ...


def lots(ids: Iterable[str]) -> dict[str, int]:
    """Each prompt's place among these when their hashes are put in order: the same for every model."""
    return {name: place for place, name in enumerate(sorted(ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest()))}


def swap_consistency(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The share of pairs, scored in both orders, whose winner is the same in both; a tie agrees with a tie only. None without pairs."""
    return sum(_winner(one) == _winner(other) for one, other in pairs) / len(pairs) if pairs else None


def _winner(score: float) -> int:
    return (score > 0.5) - (score < 0.5)

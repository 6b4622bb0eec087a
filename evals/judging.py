"""What it means to judge: two responses to one prompt, told from the candidate's side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evals.prompts import EvaluationPrompt


@dataclass(frozen=True)
class Match:
    """The candidate's response beside the baseline's, to the same prompt."""

    prompt: EvaluationPrompt
    candidate: str
    baseline: str


@dataclass(frozen=True)
class Verdict:
    """The judge's word on one match.

    `candidate_score` is in [0, 1]: 1 the candidate wins, 0.5 a tie, 0 it loses; None when the judge's answer was unreadable.
    `candidate_shown_first` is None for judges that have no order. `reason` is the judge's own text, if any.
    """

    prompt_id: str
    candidate_score: float | None
    candidate_shown_first: bool | None = None
    reason: str = ""


class Judge(Protocol):
    """Compares two responses. `name` identifies the judge and its version in scorecards."""

    @property
    def name(self) -> str: ...

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match, in order."""
        ...

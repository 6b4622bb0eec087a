"""What it means to score: a number for each response, the higher the better, in the scorer's own unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evals.prompts import EvaluationPrompt


@dataclass(frozen=True)
class ScoredItem:
    """A response to a prompt, to be scored."""

    prompt: EvaluationPrompt
    text: str


class Scorer(Protocol):
    """Scores responses. `name` says what the scores depend on."""

    @property
    def name(self) -> str: ...

    def score(self, items: Sequence[ScoredItem]) -> list[float | None]:
        """One score per item, in order; None where it could not be had, which is never taken for a low score.

        All responses to a prompt come in one call: there are scorers that compare them.
        """
        ...

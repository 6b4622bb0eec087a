"""Scorers that need no model: what the prompt itself says is right, how close its reference is, how long a response is."""

from collections.abc import Sequence
from dataclasses import dataclass

from evals.judges.reference import chrf, metric_name
from evals.judges.verifier import is_right
from evals.scoring import ScoredItem


@dataclass(frozen=True)
class VerifierScorer:
    """1 for a response that is right by its prompt's own `answer` or `pattern`, else 0."""

    @property
    def name(self) -> str:
        return "verifier"

    def score(self, items: Sequence[ScoredItem]) -> list[float | None]:
        """None where the pattern finds no end. Raises UserError for a prompt that has neither."""
        return [_right(item) for item in items]


@dataclass(frozen=True)
class ReferenceScorer:
    """Closeness to the prompt's `reference`, chrF from 0 to 1."""

    @property
    def name(self) -> str:
        return metric_name()

    def score(self, items: Sequence[ScoredItem]) -> list[float | None]:
        """Raises UserError for a prompt without a reference."""
        return [chrf(item.prompt, item.text) / 100 for item in items]


@dataclass(frozen=True)
class LengthScorer:
    """The number of characters, or less that where the shorter is preferred."""

    prefers_longer: bool = True

    @property
    def name(self) -> str:
        return "length" if self.prefers_longer else "brevity"

    def score(self, items: Sequence[ScoredItem]) -> list[float | None]:
        return [float(len(item.text) if self.prefers_longer else -len(item.text)) for item in items]


def _right(item: ScoredItem) -> float | None:
    try:
        return float(is_right(item.prompt, item.text))
    except TimeoutError:
        return None

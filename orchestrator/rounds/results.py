"""What each round came to, and how far it is above the round before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.comparison import Comparison, compare_verdicts
from orchestrator.figures import signed, span, with_interval


@dataclass(frozen=True)
class RoundResult:
    """A round's model with its scorecard against the base model, its verdicts by prompt, and what is told of its data."""

    number: int
    model: str
    scorecard: Mapping[str, Any]
    verdicts: Mapping[str, float | None]
    made: Mapping[str, Any]

    @property
    def readable(self) -> dict[str, float]:
        """The verdicts that could be read."""
        return {prompt: score for prompt, score in self.verdicts.items() if score is not None}

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return vars(self) | {"verdicts": dict(self.verdicts)}


def gains(results: Sequence[RoundResult]) -> list[Comparison | None]:
    """How far each round's win rate is above that of the round before, on the same prompts; None for the first."""
    pairs = zip(results[1:], results, strict=False)
    return [None, *(compare_verdicts(later.readable, earlier.readable) for later, earlier in pairs)][: len(results)]


def table(results: Sequence[RoundResult]) -> str:
    """The rounds as a Markdown table."""
    lines = ["| round | pairs | win rate % (95 %) | over the round before (95 %) | tokens/s |", "|---|---|---|---|---|"]
    for result, gain in zip(results, gains(results), strict=True):
        ahead = f"{signed(gain.difference)} ({span(gain.low, gain.high)})" if gain else ""
        speed = f"{result.made['tokens_per_second']:.0f}" if "tokens_per_second" in result.made else ""
        pairs = result.made.get("pairs", "as given")
        lines.append(f"| {result.number} | {pairs} | {with_interval(result.scorecard)} | {ahead} | {speed} |")
    return "\n".join(lines) + "\n"

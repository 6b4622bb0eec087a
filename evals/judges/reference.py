"""A judge for prompts with a reference answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from evals.errors import SettingsError, UserError
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt


@dataclass(frozen=True)
class ReferenceJudge:
    """The response with more character n-grams of the reference wins (chrF, 0 to 100); a difference up to `tie_margin` is a tie."""

    tie_margin: float = 0.0

    def __post_init__(self) -> None:
        if not self.tie_margin >= 0:
            raise SettingsError(f"the tie margin {self.tie_margin} is negative", "tie_margin", "give 0 or more points of chrF")

    @property
    def name(self) -> str:
        return metric_name(f", tie margin {self.tie_margin:g}")

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match. Raises UserError for a prompt without a reference."""
        verdicts = []
        for match in matches:
            ahead, behind = (chrf(match.prompt, text) for text in (match.candidate, match.baseline))
            verdicts.append(Verdict(match.prompt.id, self._score(ahead - behind), reason=f"chrF {ahead:.2f} against {behind:.2f}"))
        return verdicts

    def _score(self, difference: float) -> float:
        return 0.5 if abs(difference) <= self.tie_margin else float(difference > 0)


def check_reference(prompt: EvaluationPrompt, where: str = "") -> None:
    """Raise UserError for a prompt without a reference."""
    if prompt.reference is None:
        raise UserError("the prompt has no `reference`", where or f"prompt {prompt.id}", "add one, or choose another judge")


def chrf(prompt: EvaluationPrompt, text: str) -> float:
    """How close a text is to the prompt's reference, 0 to 100. Raises UserError for a prompt without one."""
    check_reference(prompt)
    return _metric().sentence_score(text, [str(prompt.reference)]).score


def metric_name(further: str = "") -> str:
    """What chrF depends on."""
    return f"chrf (sacrebleu {version('sacrebleu')}{further})"


@cache
def _metric() -> Any:
    from sacrebleu import CHRF

    return CHRF()

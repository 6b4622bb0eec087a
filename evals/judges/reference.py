"""A judge for prompts with a reference answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from evals.errors import SettingsError, UserError
from evals.judging import Match, Verdict


@dataclass(frozen=True)
class ReferenceJudge:
    """The response with more character n-grams of the reference wins (chrF, 0 to 100); a difference up to `tie_margin` is a tie."""

    tie_margin: float = 0.0

    def __post_init__(self) -> None:
        if not self.tie_margin >= 0:
            raise SettingsError(f"the tie margin {self.tie_margin} is negative", "tie_margin", "give 0 or more points of chrF")

    @property
    def name(self) -> str:
        return f"chrf (sacrebleu {version('sacrebleu')}, tie margin {self.tie_margin:g})"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match. Raises UserError for a prompt without a reference."""
        from sacrebleu import CHRF

        metric = CHRF()
        verdicts = []
        for match in matches:
            reference = match.prompt.reference
            if reference is None:
                raise UserError("the prompt has no `reference`", f"prompt {match.prompt.id}", "add one, or choose another judge")
            ahead, behind = (metric.sentence_score(text, [reference]).score for text in (match.candidate, match.baseline))
            verdicts.append(Verdict(match.prompt.id, self._score(ahead - behind), reason=f"chrF {ahead:.2f} against {behind:.2f}"))
        return verdicts

    def _score(self, difference: float) -> float:
        return 0.5 if abs(difference) <= self.tie_margin else float(difference > 0)

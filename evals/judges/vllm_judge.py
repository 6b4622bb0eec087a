"""A local judge: the two-token question put to a model in this process."""

from collections.abc import Sequence
from dataclasses import dataclass

from evals.judges.pairwise_prompt import FIRST, SECOND, ask_for_token, candidate_is_first, score_from_tokens
from evals.judging import Match, Verdict
from evals.vllm_engine import VllmEngine


@dataclass(frozen=True)
class VllmJudge:
    """Compares the probabilities of the two labels, exactly. Give it its own engine: with the policy's it would take turns."""

    engine: VllmEngine
    model_dir: str
    seed: int = 0

    @property
    def name(self) -> str:
        return f"vllm {self.model_dir} (logprobs, seed {self.seed})"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match. Equal texts tie and are not asked about."""
        asked = [match for match in matches if match.candidate != match.baseline]
        orders = [candidate_is_first(match.prompt, self.seed) for match in asked]
        questions = [ask_for_token(match, first) for match, first in zip(asked, orders, strict=True)]
        answers = self.engine.token_logprobs(self.model_dir, questions, (FIRST, SECOND), [match.prompt.id for match in asked])
        scored = iter(zip(orders, answers, strict=True))
        return [_verdict(match, *next(scored)) if match.candidate != match.baseline else _tie(match) for match in matches]


def _verdict(match: Match, first: bool, logprobs: dict[str, float]) -> Verdict:
    reason = f"log P({FIRST}) {logprobs[FIRST]:.3f}, log P({SECOND}) {logprobs[SECOND]:.3f}"
    return Verdict(match.prompt.id, score_from_tokens(logprobs, first), first, reason)


def _tie(match: Match) -> Verdict:
    return Verdict(match.prompt.id, 0.5, reason="equal texts")

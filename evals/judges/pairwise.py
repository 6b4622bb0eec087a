"""A language model as the judge of pairs: the order it sees them in, the question, and how its reply is read."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evals.asking import ChatModel, Question, Reply
from evals.errors import SettingsError
from evals.generation import Decoding
from evals.judges.pairwise_prompt import (
    FIRST,
    SECOND,
    ask_for_text,
    ask_for_token,
    candidate_is_first,
    label_logprobs,
    score_from_text,
    score_from_tokens,
)
from evals.judging import Match, Verdict, lots

logger = logging.getLogger(__name__)

TEXT_TOKENS = 1024


@dataclass(frozen=True)
class PairwiseJudge:
    """Asks about every match in an order drawn from its prompt. Equal texts tie and are not asked about.

    `protocol` "logprobs" compares the probabilities of two labels, "text" reads a verdict after a short reason. The `swap_sample` prompts
    that the matches' lots put first (None: all of them) are asked about in the other order too, which shows how far the order decides;
    where both orders can be read, the score is their mean.
    """

    model: ChatModel
    protocol: Literal["logprobs", "text"] = "logprobs"
    seed: int = 0
    swap_sample: int | None = 0

    def __post_init__(self) -> None:
        if self.protocol not in ("logprobs", "text"):
            raise SettingsError(f"there is no protocol {self.protocol!r}", "the judge's settings", "choose `logprobs` or `text`")

    @property
    def name(self) -> str:
        order = "" if self.swap_sample == 0 else ", both orders" if self.swap_sample is None else f", {self.swap_sample} in both orders"
        return f"{self.model.name} ({self.protocol}, seed {self.seed}{order})"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match. Raises what the model raises."""
        asked = [match for match in matches if match.candidate != match.baseline]
        swapped = _in_both_orders(asked, self.swap_sample)
        orders = [(match, candidate_is_first(match.prompt, self.seed)) for match in asked]
        orders += [(match, not first) for match, first in orders if match.prompt.id in swapped]
        replies = self.model.ask([self._question(match, first) for match, first in orders])
        answers = [(match, first, reply, self._score(match, reply, first)) for (match, first), reply in zip(orders, replies, strict=True)]
        again = {match.prompt.id: (reply, score) for match, _, reply, score in answers[len(asked) :]}
        told = iter(answers[: len(asked)])
        return [_verdict(*next(told), again) if match.candidate != match.baseline else _tie(match) for match in matches]

    def _question(self, match: Match, first: bool) -> Question:
        decoding = Decoding(max_tokens=TEXT_TOKENS, seed=self.seed)
        if self.protocol == "logprobs":
            return Question(match.prompt.id, ask_for_token(match, first), decoding, (FIRST, SECOND))
        return Question(match.prompt.id, ask_for_text(match, first), decoding)

    def _score(self, match: Match, reply: Reply, first: bool) -> float | None:
        if self.protocol == "logprobs":
            score = score_from_tokens(label_logprobs(reply.logprobs), first)
        else:
            score = score_from_text(reply.text, first)
        if score is None:
            logger.warning("unreadable verdict on prompt %s: %.300r", match.prompt.id, reply.failure or reply.text)
        return score


def sampled(ids: Sequence[str], count: int | None) -> set[str]:
    """The `count` ids that come first by lot (None: all): the same ones for every model, and a larger sample holds the smaller one."""
    return {name for name, place in lots(ids).items() if count is None or place < count}


def _in_both_orders(matches: Sequence[Match], count: int | None) -> set[str]:
    drawn = {match.prompt.id for match in matches if match.draw is not None and (count is None or match.draw < count)}
    return drawn | sampled([match.prompt.id for match in matches if match.draw is None], count)


def _verdict(match: Match, first: bool, reply: Reply, score: float | None, again: Mapping[str, tuple[Reply, float | None]]) -> Verdict:
    other, swapped = again.get(match.prompt.id, (Reply(), None))
    reason = reply.failure or reply.text or ", ".join(f"log P({label.strip()}) {value:.3f}" for label, value in reply.logprobs.items())
    both = None if swapped is None or score is None else (score, swapped)
    mean = score if both is None else sum(both) / 2
    return Verdict(match.prompt.id, mean, first, reason, both, reply.cost + other.cost)


def _tie(match: Match) -> Verdict:
    return Verdict(match.prompt.id, 0.5, reason="equal texts")

"""Preference pairs as text, as token ids, and as the tensors of one micro-batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from evals.prompts import Message
from orchestrator.preferences.packing import PackedResponses, pack

_Item = TypeVar("_Item")
# A tuple, or what is read from a file when it is looked at (see `token_shards.MappedTokens`).
Tokens = Sequence[int]


@dataclass(frozen=True)
class ScoredResponse:
    """One more response to a prompt, with its reward."""

    text: str
    reward: float


@dataclass(frozen=True)
class PreferencePair:
    """One prompt with a preferred and a dispreferred response; rewards, and further scored responses, when the data has them.

    `origin` is its file and line. `tools` are those that the prompt offers, `chosen_extra` and `rejected_extra` what the responses' turns
    have besides their text (see `evals.prompts.TURN_FIELDS`): all three are for the chat template.
    """

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    origin: str = ""
    others: tuple[ScoredResponse, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    chosen_extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rejected_extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TokenizedPair:
    """A pair as token ids. Responses include their end token; the prompt includes whatever opens the answer.

    `others` are further responses, `other_rewards` theirs; `mismatched` is another prompt's response.
    """

    prompt: Tokens
    chosen: Tokens
    rejected: Tokens
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    others: tuple[Tokens, ...] = ()
    other_rewards: tuple[float, ...] = ()
    mismatched: Tokens = ()


@dataclass(frozen=True)
class PairBatch:
    """B pairs as tensors; `indices` (B,) are the pairs' positions in the data set.

    `responses` are K to each prompt: the chosen, the rejected and, where they were asked for, all others; a pair with fewer others than the
    batch's largest has absent ones. `rewards` (B, K) are NaN where the data has none and 0 for absent responses. `mismatched` is another
    prompt's response to each prompt, None where it was not asked for.
    """

    indices: Tensor
    responses: PackedResponses
    rewards: Tensor
    mismatched: PackedResponses | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device) -> "PairBatch":
        """The same batch on `device`."""
        mismatched = None if self.mismatched is None else self.mismatched.to(device)
        return PairBatch(self.indices.to(device), self.responses.to(device), self.rewards.to(device), mismatched)


def collate(pairs: Sequence[TokenizedPair], indices: Sequence[int], others: bool = False, mismatched: bool = False) -> PairBatch:
    """Put the pairs at `indices` into one batch, with their `others` and `mismatched` responses if asked for."""
    selected = [pairs[index] for index in indices]
    most = max(len(pair.others) for pair in selected) if others else 0
    prompts = [pair.prompt for pair in selected]
    answers = [(pair.chosen, pair.rejected, *_filled(pair.others, most, ())) for pair in selected]
    rewards = [(_reward(pair.chosen_reward), _reward(pair.rejected_reward), *_filled(pair.other_rewards, most, 0.0)) for pair in selected]
    return PairBatch(
        indices=torch.tensor(list(indices), dtype=torch.long),
        responses=pack(prompts, answers),
        rewards=torch.tensor(rewards, dtype=torch.float32),
        mismatched=pack(prompts, [(pair.mismatched,) for pair in selected]) if mismatched else None,
    )


def tokens_of(pair: TokenizedPair, others: bool = False, mismatched: bool = False) -> int:
    """How many tokens the pair takes in a batch; what is computed apart counts as if it were not."""
    further = sum(len(response) for response in pair.others) if others else 0
    apart = len(pair.prompt) + len(pair.mismatched) if mismatched else 0
    return len(pair.prompt) + len(pair.chosen) + len(pair.rejected) + further + apart


def _filled(values: tuple[_Item, ...], count: int, filling: _Item) -> tuple[_Item, ...]:
    return (*values[:count], *(filling,) * (count - len(values)))


def _reward(value: float | None) -> float:
    return float("nan") if value is None else value

"""Preference pairs as text, as token ids, and as the tensors of one micro-batch."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from evals.prompts import Message

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class ScoredResponse:
    """One more response to a prompt, with its reward."""

    text: str
    reward: float


@dataclass(frozen=True)
class PreferencePair:
    """One prompt with a preferred and a dispreferred response; rewards, and further scored responses, when the data has them."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    origin: str = ""
    others: tuple[ScoredResponse, ...] = ()


@dataclass(frozen=True)
class TokenizedPair:
    """A pair as token ids. Responses include their end token; the prompt includes whatever opens the answer.

    `others` are further responses, `other_rewards` theirs; `mismatched` is another prompt's response.
    """

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    others: tuple[tuple[int, ...], ...] = ()
    other_rewards: tuple[float, ...] = ()
    mismatched: tuple[int, ...] = ()


@dataclass(frozen=True)
class ResponseBatch:
    """Right-padded sequences of one side of B pairs, T tokens long.

    `tokens` (B, T) int64; `is_token` (B, T) bool, False on padding; `is_response` (B, T) bool, True on the response.
    """

    tokens: Tensor
    is_token: Tensor
    is_response: Tensor

    def to(self, device: torch.device) -> "ResponseBatch":
        """The same batch on `device`."""
        return ResponseBatch(self.tokens.to(device), self.is_token.to(device), self.is_response.to(device))


@dataclass(frozen=True)
class PairBatch:
    """B pairs as tensors; `indices` (B,) are the pairs' positions in the data set; rewards (B,) are NaN where the data has none.

    `others` has B * M rows, pair by pair, and `other_rewards` is (B, M); a pair with fewer than M others has empty ones, of reward 0.
    `mismatched` has B rows. Both are None where they were not asked for.
    """

    indices: Tensor
    chosen: ResponseBatch
    rejected: ResponseBatch
    chosen_reward: Tensor
    rejected_reward: Tensor
    others: ResponseBatch | None = None
    other_rewards: Tensor | None = None
    mismatched: ResponseBatch | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device) -> "PairBatch":
        """The same batch on `device`."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        moved: dict[str, Any] = {name: value if value is None else value.to(device) for name, value in values.items()}
        return PairBatch(**moved)

    def rows(self) -> ResponseBatch:
        """All responses to the pairs' own prompts, one after another: B chosen, B rejected, B * M others."""
        sides = [self.chosen, self.rejected, *([] if self.others is None else [self.others])]
        return ResponseBatch(*(torch.cat([getattr(side, item.name) for side in sides]) for item in fields(ResponseBatch)))


def collate(
    pairs: Sequence[TokenizedPair], indices: Sequence[int], padding: int, others: bool = False, mismatched: bool = False
) -> PairBatch:
    """Put the pairs at `indices` into one batch, with their `others` and `mismatched` responses if asked for.

    All sides are padded to the same length; without any further response in these pairs there are no others.
    """
    selected = [pairs[index] for index in indices]
    most = max(len(pair.others) for pair in selected) if others else 0
    sides = {
        "chosen": [(pair.prompt, pair.chosen) for pair in selected],
        "rejected": [(pair.prompt, pair.rejected) for pair in selected],
        "others": [(pair.prompt, response) for pair in selected for response in _filled(pair.others, most, ())],
        "mismatched": [(pair.prompt, pair.mismatched) for pair in selected] if mismatched else [],
    }
    length = max(len(prompt) + len(response) for side in sides.values() for prompt, response in side)
    rewards = [_filled(pair.other_rewards, most, 0.0) for pair in selected]
    return PairBatch(
        indices=torch.tensor(list(indices), dtype=torch.long),
        chosen_reward=_rewards([pair.chosen_reward for pair in selected]),
        rejected_reward=_rewards([pair.rejected_reward for pair in selected]),
        other_rewards=torch.tensor(rewards, dtype=torch.float32) if most else None,
        **{name: _side(side, length, padding) for name, side in sides.items() if side},
    )


def _filled(values: tuple[_Item, ...], count: int, filling: _Item) -> tuple[_Item, ...]:
    return (*values[:count], *(filling,) * (count - len(values)))


def _side(sequences: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], length: int, padding: int) -> ResponseBatch:
    tokens = torch.full((len(sequences), length), padding, dtype=torch.long)
    is_token = torch.zeros(len(sequences), length, dtype=torch.bool)
    is_response = torch.zeros(len(sequences), length, dtype=torch.bool)
    for row, (prompt, response) in enumerate(sequences):
        end = len(prompt) + len(response)
        tokens[row, :end] = torch.tensor(prompt + response)
        is_token[row, :end] = True
        is_response[row, len(prompt) : end] = True
    return ResponseBatch(tokens, is_token, is_response)


def _rewards(values: Sequence[float | None]) -> Tensor:
    return torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float32)

"""Preference pairs as text, as token ids, and as the tensors of one micro-batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evals.prompts import Message


@dataclass(frozen=True)
class PreferencePair:
    """One prompt with a preferred and a dispreferred response; rewards are present when the data has them."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    origin: str = ""


@dataclass(frozen=True)
class TokenizedPair:
    """A pair as token ids. Responses include their end token; the prompt includes whatever opens the answer."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    chosen_reward: float | None = None
    rejected_reward: float | None = None


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
    """B pairs as tensors; `indices` (B,) are the pairs' positions in the data set; rewards (B,) are NaN where the data has none."""

    indices: Tensor
    chosen: ResponseBatch
    rejected: ResponseBatch
    chosen_reward: Tensor
    rejected_reward: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device) -> "PairBatch":
        """The same batch on `device`."""
        sides = self.chosen.to(device), self.rejected.to(device)
        return PairBatch(self.indices.to(device), *sides, self.chosen_reward.to(device), self.rejected_reward.to(device))


def collate(pairs: Sequence[TokenizedPair], indices: Sequence[int], padding: int) -> PairBatch:
    """Put the pairs at `indices` into one batch; both sides are padded to the same length."""
    selected = [pairs[index] for index in indices]
    length = max(len(pair.prompt) + max(len(pair.chosen), len(pair.rejected)) for pair in selected)
    return PairBatch(
        indices=torch.tensor(list(indices), dtype=torch.long),
        chosen=_side([(pair.prompt, pair.chosen) for pair in selected], length, padding),
        rejected=_side([(pair.prompt, pair.rejected) for pair in selected], length, padding),
        chosen_reward=_rewards([pair.chosen_reward for pair in selected]),
        rejected_reward=_rewards([pair.rejected_reward for pair in selected]),
    )


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

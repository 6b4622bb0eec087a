"""One sequence over several ranks: each holds a part of the tokens, and in attention all tokens of a part of the heads.

Ulysses (arXiv:2309.14509): activations, which grow with the length, are spread; the weights are the engine's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from orchestrator.errors import SettingsError


@dataclass(frozen=True)
class Spread:
    """The ranks that share a sequence, and which of them this process is."""

    group: Any
    size: int
    rank: int

    def part(self, values: Tensor) -> Tensor:
        """The part of (T,) that falls to this rank, filled up with zeros so that all parts are equally long."""
        length = -(-len(values) // self.size)
        return F.pad(values, (0, length * self.size - len(values)))[self.rank * length : (self.rank + 1) * length]

    def whole(self, part: Tensor, length: int) -> Tensor:
        """The first `length` rows (length, H) of what all ranks hold (T / size, H)."""
        return _Whole.apply(part, self)[:length]

    def check(self, heads: int) -> None:
        """Refuse a number of attention heads that cannot be dealt out. Raises SettingsError."""
        if heads % self.size:
            what = f"{heads} attention heads cannot be spread over {self.size} workers"
            raise SettingsError(what, "training.sequence_parallel", f"use a number that divides {heads}")

    def to_heads(self, states: Tensor, length: int) -> Tensor:
        """From some tokens of all heads (1, H, T / size, D) to all tokens of some heads (1, H / size, length, D).

        Heads that are fewer than ranks, or cannot be dealt out evenly, are repeated until they can.
        """
        repeated = self.size // math.gcd(states.shape[1], self.size)
        return _Exchange.apply(states.repeat_interleave(repeated, dim=1), self, 1, 2)[:, :, :length]

    def to_tokens(self, states: Tensor) -> Tensor:
        """From all tokens of some heads (1, T, H / size, D) back to some tokens of all heads (1, T / size, H, D)."""
        short = -states.shape[1] % self.size
        return _Exchange.apply(F.pad(states, (0, 0, 0, 0, 0, short)), self, 1, 2)


class _Exchange(torch.autograd.Function):
    """Every rank cuts its tensor along one dimension, sends the parts around, and joins what it gets along another."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, spread: Spread, cut: int, join: int) -> Tensor:
        ctx.options = (spread, join, cut)
        sent = torch.stack(states.chunk(spread.size, dim=cut))
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent, group=spread.group)
        return torch.cat(received.unbind(), dim=join)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        return _Exchange.apply(outer[0], *ctx.options), None, None, None


class _Whole(torch.autograd.Function):
    """All ranks' rows. All ranks compute the same loss from them, and an engine takes the mean of its gradients over the ranks.

    So a gradient by the last layer is right as it is, and one by what came before, which has a part on each rank, must count `size` times.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, spread: Spread) -> Tensor:
        ctx.spread = spread
        rows = torch.empty(spread.size * len(part), *part.shape[1:], dtype=part.dtype, device=part.device)
        dist.all_gather_into_tensor(rows, part.contiguous(), group=spread.group)
        return rows

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        spread: Spread = ctx.spread
        return outer[0].chunk(spread.size)[spread.rank] * spread.size, None

"""Causal attention on a processor by products of matrices, a block of queries at a time.

In half precision PyTorch's fused kernel takes most of its time in the backward pass there; here the scores are products in float32, both
passes are faster, and the gradients lie nearer to those of float64. Where not all that lies before is seen, no mask of all queries and
keys is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

ROWS = 64


class BlockedAttention(torch.autograd.Function):
    """Attention of the last L of S tokens: `apply(query, key, value, scale, window)`, with query (H, L, D) and key, value (G, S, D).

    G divides H. Query i sees the keys up to S - L + i, at most `window` of them; None is all. Returns (H, L, D).
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.scale, ctx.window = scale, window
        output = torch.empty_like(query)
        queries, outputs = (_grouped(states, len(key)) for states in (query, output))
        transposed = _transposed(key, scale)
        for rows, keys in _blocks(query.shape[1], key.shape[1], window):
            seen = _probabilities(queries[:, :, rows], transposed[:, :, keys], window)
            outputs[:, :, rows] = (seen @ value[:, keys]).view_as(outputs[:, :, rows])
        return output

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        query, key, value = ctx.saved_tensors
        gradient = torch.empty_like(query)
        by_key, by_value = (torch.zeros_like(states, dtype=_wide(states)) for states in (key, value))
        queries, gradients, outers = (_grouped(states, len(key)) for states in (query, gradient, outer[0]))
        transposed, values = _transposed(key, ctx.scale), value.transpose(1, 2)
        for rows, keys in _blocks(query.shape[1], key.shape[1], ctx.window):
            asking, by_output = (states[:, :, rows].reshape(len(key), -1, key.shape[2]) for states in (queries, outers))
            seen = _probabilities(queries[:, :, rows], transposed[:, :, keys], ctx.window)
            by_value[:, keys] += seen.transpose(1, 2) @ by_output
            # What reaches the scores through a softmax with probabilities p: p (dp - sum p dp).
            by_score = torch.ops.aten._softmax_backward_data(by_output @ values[:, :, keys], seen, -1, seen.dtype)
            gradients[:, :, rows] = (by_score @ key[:, keys]).view_as(gradients[:, :, rows])
            by_key[:, keys] += by_score.transpose(1, 2) @ asking
        return gradient.mul_(ctx.scale), by_key.mul_(ctx.scale).to(key.dtype), by_value.to(value.dtype), None, None


def _grouped(states: Tensor, groups: int) -> Tensor:
    """(H, L, D) as (G, H / G, L, D): the heads that share keys and values."""
    return states.view(groups, -1, *states.shape[1:])


def _transposed(key: Tensor, scale: float) -> Tensor:
    """Keys (G, D, S), scaled, in float32 or better."""
    return key.transpose(1, 2).to(_wide(key)) * scale


def _wide(states: Tensor) -> torch.dtype:
    return torch.promote_types(states.dtype, torch.float32)


def _blocks(length: int, seen: int, window: int | None) -> Iterator[tuple[slice, slice]]:
    """Rows of queries, and the keys that at least one of them sees."""
    before = seen - length
    for start in range(0, length, ROWS):
        stop = min(start + ROWS, length)
        yield slice(start, stop), slice(0 if window is None else max(0, before + start - window + 1), before + stop)


def _probabilities(queries: Tensor, keys: Tensor, window: int | None) -> Tensor:
    """Softmax of the scores of queries (G, r, n, D) against keys (G, D, S'), of which the last n are the queries' own: (G, r n, S')."""
    groups, _, rows, size = queries.shape
    scores = queries.to(keys.dtype).reshape(groups, -1, size) @ keys
    columns = scores.shape[2]
    by_row = scores.view(groups, -1, rows, columns)
    unseen = scores.new_full((rows, rows), float("-inf"))
    by_row[..., columns - rows :] += unseen.triu(1)
    if window is not None and columns > window:
        by_row += scores.new_full((rows, columns), float("-inf")).tril(columns - rows - window)
    return scores.softmax(-1).to(queries.dtype)

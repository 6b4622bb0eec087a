"""Attention over packed responses: each token sees its own prompt and the tokens of its own response before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from orchestrator.preferences.packing import Unit

PACKED = "daa_packed"


class UnsupportedAttentionError(Exception):
    """The architecture asks for more than packed attention does: soft-capped scores, sinks, dropout."""


def register() -> None:
    """Make the attention known to transformers under the name PACKED."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED, packed_attention)


def packed_attention(  # noqa: PLR0913 (transformers' signature)
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    units: Sequence[Unit] = (),
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention of queries (1, H, T, D) over keys and values (1, G, T, D), G dividing H; returns (1, T, H, D).

    Raises UnsupportedAttentionError for soft-capping, sinks, dropout or a conversation that is not packed.
    """
    if not units or dropout or more.get("softcap") or more.get("s_aux") is not None:
        raise UnsupportedAttentionError(f"{type(module).__name__} does not attend as packed responses can")
    repeated = query.shape[1] // key.shape[1]
    if repeated > 1:
        key, value = (states.repeat_interleave(repeated, dim=1) for states in (key, value))
    # Autograd of one split is one concatenation; of slices it would be a tensor as long as all of them for each.
    lengths = [length for unit in units for length in (unit.prompt + unit.responses[0], *unit.responses[1:])]
    parts = [states.split(lengths, dim=2) for states in (query, key, value)]
    outputs: list[Tensor] = []
    place = 0
    for unit in units:
        queries, keys, values = (part[place : place + len(unit.responses)] for part in parts)
        outputs += _unit_attention(unit.prompt, queries, keys, values, scaling, sliding_window)
        place += len(unit.responses)
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def _unit_attention(
    prompt: int, queries: Sequence[Tensor], keys: Sequence[Tensor], values: Sequence[Tensor], scaling: float | None, window: int | None
) -> list[Tensor]:
    """The prompt with its first response is a plain causal sequence; each further response sees the prompt and itself."""
    outputs = [_causal(queries[0], keys[0], values[0], scaling, window)]
    for query, key, value in zip(queries[1:], keys[1:], values[1:], strict=True):
        if query.shape[2]:
            seen, seen_values = (torch.cat([first[:, :, :prompt], own], dim=2) for first, own in ((keys[0], key), (values[0], value)))
            outputs.append(_causal(query, seen, seen_values, scaling, window))
    return outputs


def _causal(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None) -> Tensor:
    """Causal attention of the last tokens: query i of L sees the keys up to S - L + i, at most `window` of them."""
    length, seen = query.shape[2], key.shape[2]
    narrow = window is not None and seen > window
    if length == seen and not narrow:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    mask = torch.ones(length, seen, dtype=torch.bool, device=query.device).tril(seen - length)
    if narrow and window is not None:
        mask = mask.triu(seen - length - window + 1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)

"""Attention over packed responses: each token sees its own prompt and the tokens of its own response before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from orchestrator.policy.blocked_attention import ROWS, BlockedAttention
from orchestrator.policy.spreading import Spread
from orchestrator.preferences.packing import Unit

PACKED = "daa_packed"
# The largest head that flash attention takes.
LARGEST_FUSED_HEAD = 256


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
    spread: Spread | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention of queries (1, H, T, D) over keys and values (1, G, T, D), G dividing H; returns (1, T, H, D).

    Where the tokens are `spread` over ranks, T is this rank's part of them.

    Raises UnsupportedAttentionError for soft-capping, sinks, dropout or a conversation that is not packed.
    """
    if not units or dropout or more.get("softcap") or more.get("s_aux") is not None:
        raise UnsupportedAttentionError(f"{type(module).__name__} does not attend as packed responses can")
    if torch.is_autocast_enabled(query.device.type):
        query, key, value = (states.to(torch.get_autocast_dtype(query.device.type)) for states in (query, key, value))
    attend = _fused if _has_fused_kernel(query) else _padded if _are_short(units, sliding_window) else _one_by_one
    if spread is None:
        return attend(query, key, value, units, scaling, sliding_window), None
    query, key, value = (spread.to_heads(states, units[-1].end) for states in (query, key, value))
    return spread.to_tokens(attend(query, key, value, units, scaling, sliding_window)), None


def _has_fused_kernel(query: Tensor) -> bool:
    return query.is_cuda and query.dtype.itemsize == 2 and query.shape[3] <= LARGEST_FUSED_HEAD


def _fused(query: Tensor, key: Tensor, value: Tensor, units: Sequence[Unit], scaling: float | None, window: int | None) -> Tensor:
    """All responses in one call: queries lie as they are, keys with a copy of the prompt before each response but the first."""
    from torch.nn.attention.varlen import varlen_attn

    lengths, seen = _lengths(units), _seen(units)
    keys, values = (states if seen == lengths else torch.cat(_with_prompts(states, units), dim=2) for states in (key, value))
    query, keys, values = (states[0].transpose(0, 1) for states in (query, keys, values))
    boundaries = (_boundaries(lengths, query.device), _boundaries(seen, query.device))
    before = -1 if window is None else window - 1
    options: dict[str, Any] = {"scale": scaling, "window_size": (before, 0), "enable_gqa": query.shape[1] != keys.shape[1]}
    output: Any = varlen_attn(query, keys, values, *boundaries, max(lengths), max(seen), **options)
    return output[None]


def _are_short(units: Sequence[Unit], window: int | None) -> bool:
    longest = max(_seen(units))
    return longest <= ROWS and (window is None or window >= longest)


def _padded(query: Tensor, key: Tensor, value: Tensor, units: Sequence[Unit], scaling: float | None, _: int | None) -> Tensor:
    """Short responses in one call, each in a row behind its prompt: what is padded costs less than a call for each.

    Causal attention never looks right, so padding on the right needs no mask.
    """
    rows, own = _rows(tuple(units), query.device)
    grouped = query.shape[1] != key.shape[1]
    # Of whole tokens, so that autograd of the selection adds up whole tokens too.
    inputs = (states[0].transpose(0, 1).flatten(1).index_select(0, rows.flatten()) for states in (query, key, value))
    query, key, value = (
        tokens.view(*rows.shape, -1, states.shape[3]).transpose(1, 2) for tokens, states in zip(inputs, (query, key, value), strict=True)
    )
    seen = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
    return seen.transpose(1, 2).flatten(0, 1).flatten(1).index_select(0, own).view(1, -1, seen.shape[1], seen.shape[3])


@lru_cache(maxsize=8)
def _rows(units: tuple[Unit, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Which packed token lies where in rows (R, S) of a prompt and a response each, and where among these each token's own place is."""
    rows: list[list[int]] = []
    own: list[int] = []
    width = max(_seen(units))
    for unit in units:
        prompt, start = list(range(unit.start, unit.start + unit.prompt)), unit.start + unit.prompt
        for place, length in enumerate(unit.responses):
            if place and not length:
                continue
            row, first = len(rows) * width, 0 if place == 0 else unit.prompt
            seen = [*prompt, *range(start, start + length)]
            own += range(row + first, row + len(seen))
            rows.append(seen + [0] * (width - len(seen)))
            start += length
    return torch.tensor(rows, device=device), torch.tensor(own, device=device)


def _one_by_one(query: Tensor, key: Tensor, value: Tensor, units: Sequence[Unit], scaling: float | None, window: int | None) -> Tensor:
    """Response by response, where no kernel takes sequences of many lengths."""
    queries = query.split(list(_lengths(units)), dim=2)
    parts = zip(queries, _with_prompts(key, units), _with_prompts(value, units), strict=True)
    return torch.cat([_causal(*states, scaling, window) for states in parts], dim=2).transpose(1, 2)


def _with_prompts(states: Tensor, units: Sequence[Unit]) -> list[Tensor]:
    """What each response's tokens see, (1, G, S, D): the prompt with the first response, and for each further one the prompt and itself."""
    # Autograd of one split is one concatenation; of slices it would be a tensor as long as all of them for each.
    parts = iter(states.split(list(_lengths(units)), dim=2))
    seen: list[Tensor] = []
    for unit in units:
        first = next(parts)
        seen.append(first)
        seen += [torch.cat([first[:, :, : unit.prompt], next(parts)], dim=2) for length in unit.responses[1:] if length]
    return seen


def _lengths(units: Sequence[Unit]) -> tuple[int, ...]:
    """Of what is one sequence of queries: the prompt with the first response, each further response."""
    return tuple(length for unit in units for length in (unit.prompt + unit.responses[0], *unit.responses[1:]) if length)


def _seen(units: Sequence[Unit]) -> tuple[int, ...]:
    """How many tokens the last of each sequence sees."""
    return tuple(unit.prompt + length for unit in units for place, length in enumerate(unit.responses) if length or not place)


@lru_cache(maxsize=8)
def _boundaries(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Where sequences of these lengths begin and end; kept, since every layer asks."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


def _causal(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None) -> Tensor:
    """Causal attention of the last tokens: query i of L sees the keys up to S - L + i, at most `window` of them."""
    length, seen = query.shape[2], key.shape[2]
    narrow = window is not None and seen > window
    is_plain = length == seen and not narrow
    if query.device.type == "cpu" and length >= ROWS and (query.dtype.itemsize == 2 or not is_plain):
        scale = query.shape[3] ** -0.5 if scaling is None else scaling
        return BlockedAttention.apply(query[0], key[0], value[0], scale, window)[None]
    grouped = query.shape[1] != key.shape[1]
    if is_plain:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
    mask = torch.ones(length, seen, dtype=torch.bool, device=query.device).tril(seen - length)
    if narrow and window is not None:
        mask = mask.triu(seen - length - window + 1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=grouped)

"""All responses in one call, of flash attention on a GPU or as padded rows where they are short, equal them one by one.

The kernel needs a GPU; here its documented meaning, sequences of causal attention aligned at their ends, stands in for it.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import varlen

from orchestrator.policy import attention
from orchestrator.preferences.packing import Unit

UNITS = (Unit(0, 7, (5, 9, 3)), Unit(24, 4, (0, 6, 2)), Unit(36, 11, (8, 0, 0)))
UNSHARED = (Unit(0, 5, (15,)), Unit(20, 5, (15,)), Unit(40, 5, (10,)))
LENGTH = UNITS[-1].end


def stand_in(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, key_ends: Tensor, most: int, most_keys: int, **options: Any
) -> Tensor:
    assert options["enable_gqa"] == (query.shape[1] != key.shape[1])
    assert ends.dtype == key_ends.dtype == torch.int32
    assert most == int(ends.diff().max())
    assert most_keys == int(key_ends.diff().max())
    left, right = options["window_size"]
    assert right == 0
    made = []
    for number in range(len(ends) - 1):
        queries = query[ends[number] : ends[number + 1]].transpose(0, 1)
        keys, values = (states[key_ends[number] : key_ends[number + 1]].transpose(0, 1) for states in (key, value))
        apart = torch.arange(keys.shape[1] - queries.shape[1], keys.shape[1])[:, None] - torch.arange(keys.shape[1])
        mask = (apart >= 0) & (apart <= (left if left >= 0 else LENGTH))
        made.append(
            torch.nn.functional.scaled_dot_product_attention(
                queries[None], keys[None], values[None], attn_mask=mask, scale=options["scale"], enable_gqa=True
            )[0].transpose(0, 1)
        )
    return torch.cat(made)


@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("units", [UNITS, UNSHARED], ids=["shared", "packed"])
def test_one_call_equals_response_by_response(monkeypatch: pytest.MonkeyPatch, units: tuple[Unit, ...], window: int | None) -> None:
    monkeypatch.setattr(varlen, "varlen_attn", stand_in)
    found = []
    ways = ((False, False), (True, False)) if window else ((False, False), (True, False), (False, True))
    for is_fused, is_short in ways:
        monkeypatch.setattr(attention, "_has_fused_kernel", lambda query, is_fused=is_fused: is_fused)
        monkeypatch.setattr(attention, "_are_short", lambda units, window, is_short=is_short: is_short)
        chance = torch.Generator().manual_seed(0)
        query, key, value = states = [torch.randn(1, heads, units[-1].end, 8, generator=chance).requires_grad_() for heads in (4, 2, 2)]
        output, _ = attention.packed_attention(
            torch.nn.Identity(), query, key, value, None, units=units, scaling=0.4, sliding_window=window
        )
        weights = torch.linspace(-1, 1, output.numel()).view_as(output)
        found.append([output, *torch.autograd.grad((output * weights).sum(), states)])
    for way in found[1:]:
        for ours, expected in zip(way, found[0], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_rows_are_padded_only_where_no_window_hides_a_token() -> None:
    assert attention._are_short(UNITS, None)
    assert attention._are_short(UNITS, 19)
    assert not attention._are_short(UNITS, 18)
    assert not attention._are_short((Unit(0, 40, (25,)),), None)

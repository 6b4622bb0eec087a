"""Attention by blocks is attention: the plain formula, with grouped keys, windows and queries of the last tokens only."""

from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.policy import attention
from orchestrator.policy.blocked_attention import BlockedAttention

CASES = [(130, 130, None), (70, 200, None), (200, 200, 90), (65, 150, 40), (64, 64, None), (3, 70, 10)]


def plain(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
    length, seen = query.shape[1], key.shape[1]
    heads = len(query) // len(key)
    key, value = key.repeat_interleave(heads, 0), value.repeat_interleave(heads, 0)
    place, column = torch.arange(seen - length, seen)[:, None], torch.arange(seen)
    is_seen = (column <= place) & (column > place - (window or seen))
    scores = (query @ key.transpose(1, 2) * scale).masked_fill(~is_seen, float("-inf"))
    return scores.softmax(-1) @ value


def drawn(length: int, seen: int, dtype: torch.dtype) -> list[Tensor]:
    chance = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, 16, generator=chance).to(dtype).requires_grad_() for shape in ((6, length), (2, seen), (2, seen))]


def with_gradients(function: Any, states: list[Tensor], *options: object) -> list[Tensor]:
    output = function(*states, *options)
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view_as(output)
    return [output.detach(), *torch.autograd.grad((output.double() * weights).sum(), states)]


@pytest.mark.parametrize(("length", "seen", "window"), CASES)
def test_float32_outputs_and_gradients_are_the_formulas(length: int, seen: int, window: int | None) -> None:
    states = drawn(length, seen, torch.float32)
    doubled = [tensor.detach().double().requires_grad_() for tensor in states]
    found = with_gradients(BlockedAttention.apply, states, 0.3, window)
    for ours, expected in zip(found, with_gradients(plain, doubled, 0.3, window), strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("length", "seen", "window"), CASES)
def test_half_precision_is_as_near_as_rounding_allows(length: int, seen: int, window: int | None) -> None:
    states = drawn(length, seen, torch.bfloat16)
    doubled = [tensor.detach().double().requires_grad_() for tensor in states]
    found = with_gradients(BlockedAttention.apply, states, 0.3, window)
    for ours, expected in zip(found, with_gradients(plain, doubled, 0.3, window), strict=True):
        assert ours.dtype == torch.bfloat16
        assert float((ours.double() - expected).norm()) <= 0.006 * float(expected.norm())


@pytest.mark.parametrize(
    ("dtype", "seen", "window", "is_by_blocks"),
    [
        (torch.float32, 70, None, False),
        (torch.bfloat16, 70, None, True),
        (torch.float32, 90, None, True),
        (torch.float64, 70, 30, True),
    ],
)
def test_what_torch_has_a_fast_kernel_for_is_left_to_it(
    dtype: torch.dtype, seen: int, window: int | None, is_by_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    whole = BlockedAttention.apply
    monkeypatch.setattr(BlockedAttention, "apply", lambda *given: taken.append(given) or whole(*given))
    query, key, value = drawn(70, seen, dtype)
    found = attention._causal(query[None], key[None], value[None], scaling=0.25, window=window)
    assert len(taken) == is_by_blocks
    expected = plain(query.double(), key.double(), value.double(), 0.25, window)
    tolerance = {2: 0.02, 4: 1e-6, 8: 1e-12}[dtype.itemsize]
    torch.testing.assert_close(found[0].double(), expected, rtol=tolerance, atol=tolerance)

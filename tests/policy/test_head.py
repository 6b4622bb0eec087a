"""The head gives what a plain layer and autograd give, in pieces, with a right guess and with a wrong one."""

from collections.abc import Callable, Mapping
from unittest.mock import MagicMock, patch

import pytest
import torch
from torch import Tensor, nn

from orchestrator.policy import head as head_module
from orchestrator.policy.head import Guess, ResponseHead, Wanted, rows_at_once

ENDS = [4, 9, 10, 17]
KINDS = {"plain": (1.0, None), "scaled": (0.25, None), "capped": (1.0, 3.0), "scaled and capped": (2.0, 1.5)}


def made(bias: bool, scale: float = 1.0, softcap: float | None = None) -> tuple[ResponseHead, Tensor, Tensor]:
    """A head in float64, hidden states and labels."""
    torch.manual_seed(0)
    head = ResponseHead(nn.Linear(6, 23, bias=bias, dtype=torch.float64), scale, softcap)
    return head, torch.randn(ENDS[-1], 6, dtype=torch.float64, requires_grad=True), torch.randint(23, (ENDS[-1],))


def plain_logps(head: ResponseHead, hidden: Tensor, labels: Tensor) -> Tensor:
    """What autograd can follow all the way."""
    logits = head.scale * nn.functional.linear(hidden, head.weight, head.bias)
    logits = logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)
    return logits.log_softmax(-1).gather(1, labels[:, None]).squeeze(1)


def loss(logps: Tensor) -> Tensor:
    """A sum over pairs, each the logistic loss of half its tokens against the others."""
    parts = [part[::2].sum() - part[1::2].sum() for part in logps.tensor_split(ENDS[:-1])]
    return -nn.functional.logsigmoid(torch.stack(parts)).sum()


def right(first: int, behind: int, found: Mapping[str, Tensor]) -> Tensor:
    """The gradient that will come, of the pairs' own losses."""
    ends = [0, *ENDS]
    own = [end - ends[first] for end in ENDS[first : behind - 1]]
    with torch.enable_grad():
        logps = found["logp"].detach().requires_grad_()
        parts = [part[::2].sum() - part[1::2].sum() for part in logps.tensor_split(own)]
        return torch.autograd.grad(-nn.functional.logsigmoid(torch.stack(parts)).sum(), logps)[0]


def wrong(first: int, behind: int, found: Mapping[str, Tensor]) -> Tensor:
    return torch.ones_like(found["logp"])


def nothing(first: int, behind: int, found: Mapping[str, Tensor]) -> Tensor:
    return torch.zeros_like(found["logp"])


@pytest.fixture(params=["one piece", "a piece for each pair"])
def pieces(request: pytest.FixtureRequest) -> object:
    """How many rows are worked on at a time."""
    with (
        patch.object(head_module, "FEWEST_ROWS", 128 if request.param == "one piece" else 1),
        patch.object(head_module, "LOGITS_AT_ONCE", 1),
    ):
        yield


@pytest.mark.parametrize("guess", [None, right, wrong, nothing])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_autograds_whatever_was_guessed(kind: str, bias: bool, guess: Guess | None, pieces: object) -> None:
    head, hidden, labels = made(bias, *KINDS[kind])
    leaves = [hidden, *head.parameters()]
    expected = plain_logps(head, hidden, labels)
    wanted = torch.autograd.grad(0.3 * loss(expected), leaves)
    logps = head(hidden, Wanted(labels, ENDS, guess=guess))["logp"]
    torch.testing.assert_close(logps, expected, rtol=0, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(0.3 * loss(logps), leaves), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def products(work: Callable[[], object]) -> int:
    """How many times logits are computed."""
    with patch.object(ResponseHead, "logits", autospec=True, side_effect=ResponseHead.logits) as counted:
        work()
    return counted.call_count


def test_a_right_guess_spares_computing_the_logits_twice() -> None:
    head, hidden, labels = made(bias=False)

    def work(guess: Guess | None) -> Callable[[], object]:
        return lambda: loss(head(hidden, Wanted(labels, ENDS, guess=guess))["logp"]).backward()

    assert [products(work(guess)) for guess in (right, wrong, None)] == [1, 2, 2]


def test_a_pair_too_long_for_one_piece_is_cut_and_not_guessed() -> None:
    head, hidden, labels = made(bias=False)
    leaves = [hidden, *head.parameters()]
    expected = torch.autograd.grad(loss(plain_logps(head, hidden, labels)), leaves)
    with patch.multiple(head_module, FEWEST_ROWS=2, LOGITS_AT_ONCE=1, LONGEST_PAIR=1):
        pieces = [rows for rows, _ in head_module._pieces(Wanted(labels, ENDS), head.weight)]
        found = torch.autograd.grad(loss(head(hidden, Wanted(labels, ENDS, guess=right))["logp"]), leaves)
    assert max(rows.stop - rows.start for rows in pieces) == 2
    assert [row for rows in pieces for row in range(rows.start, rows.stop)] == list(range(len(labels)))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_frozen_head_gives_gradients_by_states_only() -> None:
    head, hidden, labels = made(bias=True)
    head.requires_grad_(False)
    loss(head(hidden, Wanted(labels, ENDS, guess=right))["logp"]).backward()
    (expected,) = torch.autograd.grad(loss(plain_logps(head, hidden, labels)), [hidden])
    assert head.weight.grad is None and hidden.grad is not None
    torch.testing.assert_close(hidden.grad, expected, rtol=1e-10, atol=1e-12)


def test_without_wishes_it_is_the_layer_that_it_stands_for() -> None:
    head, hidden, _ = made(bias=True)
    assert torch.equal(head(hidden), nn.functional.linear(hidden, head.weight, head.bias))


def test_the_divergence_is_computed_in_pieces_with_autograds_gradients(pieces: object) -> None:
    head, hidden, labels = made(bias=True, softcap=3.0)
    other, states, _ = made(bias=True, softcap=3.0)
    states = states.detach() + 0.5
    found = head(hidden, Wanted(labels, ENDS, divergence=True, reference=(states, other)))
    theirs, ours = (3 * torch.tanh(layer(at) / 3) for layer, at in ((other, states), (head, hidden)))
    theirs, ours = theirs.log_softmax(-1).detach(), ours.log_softmax(-1)
    expected = (theirs.exp() * (theirs - ours)).sum(-1)
    torch.testing.assert_close(found["divergence"], expected, rtol=0, atol=1e-12)
    leaves = [hidden, *head.parameters()]
    totals = (found["divergence"].sum() - found["logp"].sum(), expected.sum() - plain_logps(head, hidden, labels).sum())
    for one, two in zip(*(torch.autograd.grad(total, leaves) for total in totals), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_a_gpu_works_on_larger_pieces() -> None:
    on_cpu, on_gpu = (MagicMock(is_cuda=is_cuda, __len__=lambda _: 1 << 17) for is_cuda in (False, True))
    assert (rows_at_once(on_cpu), rows_at_once(on_gpu)) == (128, 1024)

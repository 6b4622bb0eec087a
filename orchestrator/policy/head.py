"""The last layer, at response tokens only and never for all of them at once: hidden states become log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Logits that exist at the same time (64 MiB in float32), if pairs are no longer than that, and rows of one piece of work, at least.
LOGITS_AT_ONCE, FEWEST_ROWS = 1 << 24, 128
# So many times as many on a GPU: each piece reads the whole layer, and adds to as many gradients.
ON_GPUS = 8
# A pair stays in one piece up to this many times as much.
LONGEST_PAIR = 8

# From the numbers of the first pair and of the one behind the last, and the measurements of their tokens, to the gradient of the summed
# loss by the tokens' log-probabilities.
Guess = Callable[[int, int, Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Wanted:
    """What is wanted of R response tokens with the given `labels` (R,), besides their log-probabilities.

    `ends` says where each pair's tokens end. `neighbours` is the epsilon of epsilon-DPO: the log-probabilities under logits that lie so
    far beyond the policy's, seen from the reference's, and so far before. `divergence` is KL(reference || policy), `collision` the log of
    sum_v pi(v)^2. The first two need the `reference`: its hidden states (R, H) and its head. `guess` foretells the gradient by the
    log-probabilities, which spares computing the logits twice; a wrong guess costs time only.
    """

    labels: Tensor
    ends: Sequence[int]
    neighbours: float | None = None
    divergence: bool = False
    collision: bool = False
    reference: tuple[Tensor, ResponseHead] | None = None
    guess: Guess | None = None


class ResponseHead(nn.Module):
    """Stands in the place of a model's `lm_head` and owns its parameters, so that engines gather and reduce them as they do others."""

    def __init__(self, head: nn.Linear, scale: float = 1.0, softcap: float | None = None) -> None:
        """`scale` multiplies the logits, `softcap` c then bounds them: c tanh(z / c)."""
        super().__init__()
        self.weight, self.bias = head.weight, head.bias
        self.scale, self.softcap = scale, softcap

    def forward(self, hidden: Tensor, wanted: Wanted | None = None) -> Any:
        """Raw logits of hidden states, as `lm_head` gives them; with `wanted`, measurements (R,) of hidden states (R, H) by name."""
        if wanted is None:
            return F.linear(hidden, self.weight, self.bias)
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        if wanted.divergence:
            return self._with_divergence(hidden, wanted)
        names = _names(wanted)
        values = _Measured.apply(hidden, self.weight, self.bias, self, wanted)
        return dict(zip(names, values, strict=True))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (R, V) in float32 or better, scaled and capped."""
        weight, bias = (None if value is None else value.to(hidden.dtype) for value in (self.weight, self.bias))
        assert weight is not None
        with torch.autocast(hidden.device.type, enabled=False):
            values = F.linear(hidden, weight, bias)
        values = values if values.dtype.itemsize >= 4 else values.float()
        values = values if self.scale == 1 else values * self.scale
        return values if self.softcap is None else self.softcap * torch.tanh(values / self.softcap)

    def measure(self, hidden: Tensor, rows: slice, wanted: Wanted) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Measurements of some rows, with their logits (r, V) and the logarithms of the sums of their exponentials (r,)."""
        logits = self.logits(hidden[rows])
        labels = wanted.labels[rows, None]
        total = logits.logsumexp(-1)
        found = {"logp": logits.gather(1, labels).squeeze(1) - total}
        with torch.no_grad():
            if wanted.collision:
                found["log_collision"] = (2 * (logits - total[:, None])).logsumexp(-1)
            if wanted.reference is not None and wanted.neighbours is not None:
                # Written as f + e (f - f0), a policy that equals its reference has neighbours that equal it to the last bit.
                away = wanted.neighbours * (logits - _reference_logits(wanted, rows))
                for name, shifted in (("smaller", logits + away), ("larger", logits - away)):
                    found[name] = shifted.gather(1, labels).squeeze(1) - shifted.logsumexp(-1)
        return found, logits, total

    def _with_divergence(self, hidden: Tensor, wanted: Wanted) -> dict[str, Tensor]:
        """Piece by piece, each computed again in the backward pass: the divergence has a gradient by every logit."""

        def piece(states: Tensor, rows: slice) -> tuple[Tensor, ...]:
            part = _sliced(wanted, rows)
            found, logits, total = self.measure(states, slice(None), part)
            behind = _reference_logits(part, slice(None))
            ours, theirs = logits - total[:, None], behind - behind.logsumexp(-1)[:, None]
            found["divergence"] = (theirs.exp() * (theirs - ours)).sum(-1)
            return tuple(found[name] for name in names)

        names = _names(wanted)
        pieces = [checkpoint(piece, hidden[rows], rows, use_reentrant=False) for rows, _ in _pieces(wanted, self.weight)]
        return {name: torch.cat([values[number] for values in pieces]) for number, name in enumerate(names)}


def _names(wanted: Wanted) -> list[str]:
    """The measurements in the order in which they are made."""
    found = ["logp"]
    found += ["log_collision"] if wanted.collision else []
    found += ["smaller", "larger"] if wanted.neighbours is not None else []
    return [*found, "divergence"] if wanted.divergence else found


def _pieces(wanted: Wanted, weight: Tensor) -> list[tuple[slice, tuple[int, int] | None]]:
    """Rows of whole pairs, as many as `rows_at_once`, with the numbers of the first pair and of the one behind the last.

    Where a pair is too long for that the pieces are rows without regard to pairs, and have no such numbers.
    """
    most = rows_at_once(weight)
    pieces: list[tuple[slice, tuple[int, int] | None]] = []
    start, first = 0, 0
    if max(end - begin for begin, end in pairwise((0, *wanted.ends))) > LONGEST_PAIR * most:
        return [(slice(row, min(row + most, len(wanted.labels))), None) for row in range(0, len(wanted.labels), most)]
    for pair, end in enumerate(wanted.ends):
        is_last = pair == len(wanted.ends) - 1
        if is_last or wanted.ends[pair + 1] - start > most:
            pieces.append((slice(start, end), (first, pair + 1)))
            start, first = end, pair + 1
    return pieces


def rows_at_once(weight: Tensor) -> int:
    """How many rows one piece of work has with this layer's weight (V, H)."""
    return max(FEWEST_ROWS, LOGITS_AT_ONCE * (ON_GPUS if weight.is_cuda else 1) // len(weight))


def _sliced(wanted: Wanted, rows: slice) -> Wanted:
    reference = None if wanted.reference is None else (wanted.reference[0][rows], wanted.reference[1])
    return replace(wanted, labels=wanted.labels[rows], ends=(), reference=reference, guess=None)


@torch.no_grad()
def _reference_logits(wanted: Wanted, rows: slice) -> Tensor:
    assert wanted.reference is not None
    hidden, head = wanted.reference
    return head.logits(hidden[rows])


class _Measured(torch.autograd.Function):
    """Measurements of response tokens, of which the log-probabilities carry gradients.

    With a guess, the forward pass computes the gradients by hidden states and weights at once, while it has the logits: three products of
    matrices instead of four. The backward pass takes them if the true gradient is a multiple of the guess, else computes the logits again.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, head: ResponseHead, wanted: Wanted) -> tuple[Tensor, ...]:
        needs_gradient = any(ctx.needs_input_grad[:3])
        pieces = _pieces(wanted, weight)
        guess = wanted.guess if needs_gradient and pieces[0][1] is not None else None
        gradients = _Gradients(hidden, weight, bias, ctx.needs_input_grad) if guess is not None else None
        parts: list[dict[str, Tensor]] = []
        guesses: list[Tensor] = []
        for rows, pairs in pieces:
            found, logits, total = head.measure(hidden, rows, wanted)
            parts.append(found)
            if guess is not None and gradients is not None and pairs is not None:
                guesses.append(guess(*pairs, found))
                gradients.add(head, rows, logits, total, wanted.labels[rows], guesses[-1])
        ctx.head, ctx.wanted, ctx.gradients = head, wanted, gradients
        ctx.guess = torch.cat(guesses) if guesses else None
        ctx.save_for_backward(hidden)
        values = tuple(torch.cat([part[name] for part in parts]) for name in _names(wanted))
        ctx.mark_non_differentiable(*values[1:])
        return values

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        (hidden,) = ctx.saved_tensors
        head, wanted, gradients = ctx.head, ctx.wanted, ctx.gradients
        scale = None if ctx.guess is None else _multiple(outer[0], ctx.guess)
        if scale is None:
            gradients, scale = _Gradients(hidden, head.weight, head.bias, ctx.needs_input_grad), 1.0
            for rows, _ in _pieces(wanted, head.weight):
                logits = head.logits(hidden[rows])
                gradients.add(head, rows, logits, logits.logsumexp(-1), wanted.labels[rows], outer[0][rows])
        ctx.gradients = None
        return (*gradients.scaled(scale), None, None)


class _Gradients:
    """Sums of gradients by hidden states (R, H), weights (V, H) and bias (V,)."""

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, needed: Sequence[bool]) -> None:
        self.kinds = (hidden.dtype, weight.dtype, None if bias is None else bias.dtype)
        self.hidden = hidden
        self.by_hidden = torch.empty_like(hidden) if needed[0] else None
        self.by_weight: Tensor | None = None
        self.by_bias: Tensor | None = None
        self.needed = needed

    def add(self, head: ResponseHead, rows: slice, logits: Tensor, total: Tensor, labels: Tensor, outer: Tensor) -> None:
        """Take in rows (r, V), whose logits are overwritten; `outer` (r,) is the gradient by their log-probabilities."""
        bend = None if head.softcap is None else 1 - (logits / head.softcap) ** 2
        slopes = logits.sub_(total[:, None]).exp_().mul_(-outer[:, None])
        slopes.scatter_add_(1, labels[:, None], outer[:, None].to(slopes.dtype))
        if bend is not None:
            slopes.mul_(bend)
        if head.scale != 1:
            slopes.mul_(head.scale)
        low = slopes.to(self.hidden.dtype)
        if self.by_hidden is not None:
            self.by_hidden[rows] = low @ head.weight.to(low.dtype)
        if self.needed[1]:
            product = low.T @ self.hidden[rows]
            self.by_weight = _sum(self.by_weight, product)
        if self.needed[2]:
            self.by_bias = _sum(self.by_bias, slopes.sum(0))

    def scaled(self, scale: float | Tensor) -> list[Tensor | None]:
        """The sums times a number, each in the type of what it is the gradient of."""
        sums = (self.by_hidden, self.by_weight, self.by_bias)
        return [None if value is None else value.mul_(scale).to(kind) for value, kind in zip(sums, self.kinds, strict=True)]


def _sum(before: Tensor | None, more: Tensor) -> Tensor:
    """In float32 or better as soon as there are two addends."""
    if before is None:
        return more
    return before.add_(more) if before.dtype.itemsize >= 4 else before.float().add_(more)


def _multiple(outer: Tensor, guess: Tensor) -> Tensor | None:
    """The number of which `outer` is the multiple of `guess`; None where it is none."""
    squared = guess @ guess
    scale = torch.where(squared > 0, (outer.to(guess.dtype) @ guess) / squared, torch.zeros_like(squared))
    off = (outer - scale * guess).norm()
    return scale if float(off) <= 1e-4 * float(outer.norm()) else None


def softcap_and_scale(config: Any) -> tuple[float, float | None]:
    """What a model's configuration does to its logits: the factor (Cohere's, Granite's, Falcon-H1's) and the cap (Gemma's)."""
    factors = [float(getattr(config, name, None) or 1.0) for name in ("logit_scale", "lm_head_multiplier")]
    divisor = float(getattr(config, "logits_scaling", None) or 1.0)
    return factors[0] * factors[1] / divisor, getattr(config, "final_logit_softcapping", None)

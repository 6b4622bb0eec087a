"""Muon in the precision of the weights: `torch.optim.Muon` computes in bf16, which processors without it are very slow at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

# The quintic of Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024): it raises small singular values fastest.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose step for each matrix is made nearly orthogonal; as `torch.optim.Muon` otherwise."""

    def __init__(self, matrices: Iterable[torch.Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move the matrices, those of one shape together. A closure is not called."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
            for weight in group["params"]:
                alike[weight.shape].append(weight)
            for (rows, columns), weights in alike.items():
                updates = orthogonal(torch.stack([self._nesterov(weight, group["momentum"]) for weight in weights]))
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=rate)

    def _nesterov(self, weight: torch.Tensor, momentum: float) -> torch.Tensor:
        """The gradient, after and before it has joined its running mean."""
        assert weight.grad is not None
        state = self.state[weight]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(weight)
        mean = state["mean"]
        mean.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices (count, rows, columns) with the same singular vectors, almost all of whose singular values are between 0.7 and 1.2."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    linear, cubic, fifth = _QUINTIC
    found = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = found @ found.mT
        factor = torch.baddbmm(gram, gram, gram, beta=cubic, alpha=fifth)
        found = torch.baddbmm(found, factor, found, beta=linear)
    return found

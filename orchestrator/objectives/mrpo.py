"""MRPO: DPO whose reference is a mixture of several models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MRPO(Objective):
    """Multi-Reference Preference Optimization: `model.references` join the start of training as references. Choose it to distil them.

    A further reference e is first clipped to within a share `eta` of the main reference m, shared between the sides by their
    log-probabilities. `alpha` weighs m; None weighs it by how little it separates the pair (several e share the rest equally).
    """

    name = "mrpo"
    paper = "Le et al. 2024, arXiv:2405.16388"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.001, 0.3), "eta": Uniform(0.01, 0.5)}
    limits = {"alpha": (lambda value: 0 <= value <= 1, "between 0 and 1, or absent to adapt it")}
    needs = Needs(reference=True, extra_references=1)

    beta: float = 0.1
    eta: float = 0.1
    alpha: float | None = None

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta D), log pi_ref = -log(alpha / m + (1 - alpha) / clip(e)), m and e probabilities"""
        main = (pair.chosen.known_reference_logp[:, None], pair.rejected.known_reference_logp[:, None])
        extra = (pair.chosen.known("extra_reference_logp"), pair.rejected.known("extra_reference_logp"))
        weight = self._main_weight(main, extra)
        sides = zip((pair.chosen, pair.rejected), main, self._clipped(main, extra), strict=True)
        chosen, rejected = (side.logp - _mixture(ours, others, weight) for side, ours, others in sides)
        return PairLoss(sigmoid_loss(self.beta * (chosen - rejected)), self.beta * chosen, self.beta * rejected)

    def _clipped(self, main: tuple[Tensor, Tensor], extra: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """The further references, (B, E) for each side, kept near the main one."""
        middle = [(ours + others).abs() / 2 for ours, others in zip(main, extra, strict=True)]
        share = middle[0] / (middle[0] + middle[1]).clamp(min=1e-30)
        widths = (self.eta * share, self.eta * (1 - share))
        sides = zip(main, extra, widths, strict=True)
        return tuple(others.clamp(ours * (1 + width), ours * (1 - width)) for ours, others, width in sides)

    def _main_weight(self, main: tuple[Tensor, ...], extra: tuple[Tensor, ...]) -> Tensor:
        """The main reference's weight, (B, 1)."""
        if self.alpha is not None:
            return main[0] * 0 + self.alpha
        theirs, ours = (extra[0] - extra[1]).abs().mean(-1, keepdim=True), (main[0] - main[1]).abs()
        return theirs / (theirs + ours + 1e-6)


def _mixture(main: Tensor, extra: Tensor, weight: Tensor) -> Tensor:
    """Log of the weighted harmonic mean of the references' probabilities, (B,)."""
    import torch

    rest = (1 - weight).log() - math.log(extra.shape[1]) - extra
    return -torch.cat([weight.log() - main, rest], dim=1).logsumexp(-1)

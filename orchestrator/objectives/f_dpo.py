"""f-DPO: DPO under other divergences than the reverse KL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import Choice, LogUniform
from orchestrator.objectives.alphapo import shaped
from orchestrator.objectives.contract import Objective, PairLoss, State, log_sigmoid, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor

_DIVERGENCES = ("forward_kl", "js", "alpha")


@dataclass(frozen=True)
class FDPO(Objective):
    """f-DPO: `divergence` "forward_kl" covers the reference, "js" is between, "alpha" moves from forward (0) to reverse KL (1).

    The "alpha" form was not checked against other code. Exponents end at 80 in float32, and gradients with them. Choose it to trade
    diversity for reward.
    """

    name = "f_dpo"
    paper = "Wang et al. 2023, arXiv:2309.16240"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 0.5), "divergence": Choice(_DIVERGENCES)}
    limits = {
        "divergence": (lambda value: value in _DIVERGENCES, " or ".join(f'"{name}"' for name in _DIVERGENCES)),
        "alpha": (lambda value: 0 <= value <= 1, "between 0 (forward KL) and 1 (reverse KL)"),
    }
    needs = Needs(reference=True)

    beta: float = 0.1
    divergence: str = "js"
    alpha: float = 0.5

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (f'(dw) - f'(dl))); f'(d) = 1 - exp(-d), log 2 + log s(d), or (exp((alpha - 1) d) - 1) / (alpha - 1)"""
        chosen_reward, rejected_reward = self.beta * self._slope(pair.chosen.log_ratio), self.beta * self._slope(pair.rejected.log_ratio)
        return PairLoss(sigmoid_loss(chosen_reward - rejected_reward), chosen_reward, rejected_reward)

    def _slope(self, log_ratio: Tensor) -> Tensor:
        """The divergence's derivative f' at the ratio exp(log_ratio), up to a constant."""
        if self.divergence == "js":
            return math.log(2) + log_sigmoid(log_ratio)
        return shaped(log_ratio, 1.0 if self.divergence == "forward_kl" else 1 - self.alpha)

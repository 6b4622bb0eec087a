"""chi-PO: DPO with a chi-squared divergence added to the KL divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ChiPO(Objective):
    """chi-squared Preference Optimization: leaving the data costs more than under DPO. Choose it against over-optimisation.

    The margin is clipped to `r_max` times 2 on either side, where its gradient ends (None: no clipping); exponents are clamped to 20.
    """

    name = "chi_po"
    paper = "Huang et al. 2024, arXiv:2407.13399, Alg. 1 (third party's reading)"
    status = "paper text"
    search_space = {"beta": LogUniform(0.005, 0.1)}
    needs = Needs(reference=True)

    beta: float = 0.05
    r_max: float | None = 2.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(clip(beta (phi(dw) - phi(dl)), -2 r_max, 2 r_max)), phi(d) = exp(d) + d"""
        chosen_reward = self.beta * _link(pair.chosen.log_ratio)
        rejected_reward = self.beta * _link(pair.rejected.log_ratio)
        margin = chosen_reward - rejected_reward
        if self.r_max is not None:
            margin = margin.clamp(-2 * self.r_max, 2 * self.r_max)
        return PairLoss(sigmoid_loss(margin), chosen_reward, rejected_reward)


def _link(log_ratio: Tensor) -> Tensor:
    return log_ratio.clamp(-20, 20).exp() + log_ratio

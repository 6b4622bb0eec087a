"""AlphaPO: SimPO with a reward whose shape is a hyperparameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, exponent_limit, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AlphaPO(Objective):
    """AlphaPO: `alpha` bends SimPO's reward; above 0 it acts most on unlikely sequences, below 0 least.

    Choose it to curb the loss of likelihood that SimPO can bring.
    """

    name = "alphapo"
    paper = "Gupta et al. 2025, arXiv:2501.03884"
    status = "code-checked"
    search_space = {"alpha": Uniform(-0.5, 2.0), "beta": LogUniform(0.5, 25.0), "gamma_over_beta": Uniform(0.0, 1.0)}
    needs = Needs()

    alpha: float = 0.25
    beta: float = 2.5
    gamma_over_beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (r(mw) - r(ml)) - gamma), r(m) = (1 - exp(-alpha m)) / alpha"""
        chosen_reward = self.beta * shaped(pair.chosen.mean_logp, self.alpha)
        rejected_reward = self.beta * shaped(pair.rejected.mean_logp, self.alpha)
        margin = chosen_reward - rejected_reward - self.beta * self.gamma_over_beta
        return PairLoss(sigmoid_loss(margin), chosen_reward, rejected_reward)


def shaped(mean_logp: Tensor, alpha: float) -> Tensor:
    """(1 - exp(-alpha m)) / alpha, which is m at alpha 0. The exponent stops short of the dtype's range."""
    if alpha == 0:
        return mean_logp
    exponent = (-alpha * mean_logp).clamp(max=exponent_limit(mean_logp))
    # expm1 keeps small exponents exact; its gradient, result + 1, is lost for large negative ones, where exp's is not.
    grown = exponent.expm1().where(exponent > -1, exponent.exp() - 1)
    return -grown / alpha

"""WPO: DPO whose pairs are weighted by how likely the policy is to write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores, ResponseScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WPO(Objective):
    """Weighted Preference Optimization: off-policy pairs act as if they were on-policy. Choose it for responses of other models.

    A pair's weight, at most 1, compares its tokens' probabilities with what the policy's own samples would have.
    """

    name = "wpo"
    paper = "Zhou et al. 2024, arXiv:2406.11827, Eq. 2"
    status = "paper text"
    search_space = {"beta": LogUniform(0.003, 0.3)}
    needs = Needs(reference=True, log_collision=True)

    beta: float = 0.01
    label_smoothing: float = 0.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-sg[min(1, w(yw) w(yl))] log s(beta D), w(y) = exp(mean_t(log p_t - log sum_v p_v^2))"""
        weight = (_log_weight(pair.chosen) + _log_weight(pair.rejected)).clamp(max=0).exp()
        loss = weight * sigmoid_loss(self.beta * pair.log_ratio_margin, self.label_smoothing)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)


def _log_weight(response: ResponseScores) -> Tensor:
    return (response.logp - response.known("log_collision")).detach() / response.length.clamp(min=1)

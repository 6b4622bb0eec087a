"""ORPO: supervised fine-tuning with a penalty on the odds of the rejected response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ORPO(Objective):
    """Odds Ratio Preference Optimization: one stage from a base model, no reference. Choose it to start from a model without SFT.

    `lambda_` weighs the odds ratio (TRL calls it beta), `sft_weight` the likelihood of the chosen response per token.
    """

    name = "orpo"
    paper = "Hong, Lee & Thorne 2024, arXiv:2403.07691, Eq. 4 and 7"
    status = "code-checked"
    search_space = {"lambda_": LogUniform(0.05, 2.0)}
    needs = Needs()

    lambda_: float = 0.1
    sft_weight: float = 1.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-sft_weight mw - lambda log s(log odds(exp mw) - log odds(exp ml)), odds(p) = p / (1 - p)"""
        chosen, rejected = _log_odds(pair.chosen.mean_logp), _log_odds(pair.rejected.mean_logp)
        loss = self.lambda_ * sigmoid_loss(chosen - rejected) - self.sft_weight * pair.chosen.mean_logp
        return PairLoss(loss, self.lambda_ * pair.chosen.mean_logp, self.lambda_ * pair.rejected.mean_logp)


def _log_odds(mean_logp: Tensor) -> Tensor:
    """Log(p / (1 - p)) of p = exp(mean_logp), which ends short of p = 1, where the odds and their gradient are infinite."""
    below_one = mean_logp.clamp(max=-1e-15 if mean_logp.dtype.itemsize == 8 else -1e-6)
    return below_one - (-below_one.expm1()).log()

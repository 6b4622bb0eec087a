"""CPO: DPO against a uniform reference, with likelihood."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class CPO(Objective):
    """Contrastive Preference Optimization: no reference, and likelihood of the chosen per token. Choose it for translation-like tasks.

    `sft_weight` is known as cpo_alpha.
    """

    name = "cpo"
    paper = "Xu et al. 2024, arXiv:2401.08417"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 0.5), "sft_weight": LogUniform(0.05, 2.0)}
    needs = Needs()

    beta: float = 0.1
    sft_weight: float = 1.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (lw - ll)) - sft_weight mw"""
        margin = self.beta * (pair.chosen.logp - pair.rejected.logp)
        loss = sigmoid_loss(margin) - self.sft_weight * pair.chosen.mean_logp
        return PairLoss(loss, self.beta * pair.chosen.logp, self.beta * pair.rejected.logp)

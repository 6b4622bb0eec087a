"""AOT: preference between distributions, by comparing quantile with quantile."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class AOT(Objective):
    """Alignment via Optimal Transport: margins are sorted over the global batch before they are compared. Choose it for noisy pairs.

    Losses come in sorted order.
    """

    name = "aot"
    paper = "Melnyk et al. 2024, arXiv:2406.05882"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.003, 0.3)}
    needs = Needs(reference=True, whole_batch=True)

    beta: float = 0.01
    label_smoothing: float = 0.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta ((lw - ll)_(i) - (lw0 - ll0)_(i))), both differences sorted over the batch"""
        ours = (pair.chosen.logp - pair.rejected.logp).sort().values
        theirs = (pair.chosen.known_reference_logp - pair.rejected.known_reference_logp).sort().values
        loss = sigmoid_loss(self.beta * (ours - theirs), self.label_smoothing)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)


@dataclass(frozen=True)
class AOTUnpaired(AOT):
    """AOT between all chosen and all rejected responses of the global batch. Choose it when responses have no partner.

    Losses come in sorted order.
    """

    name = "aot_unpaired"

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (dw_(i) - dl_(i))), both sides sorted over the batch"""
        chosen, rejected = pair.chosen.log_ratio, pair.rejected.log_ratio
        loss = sigmoid_loss(self.beta * (chosen.sort().values - rejected.sort().values), self.label_smoothing)
        return PairLoss(loss, self.beta * chosen, self.beta * rejected)

"""TDPO: DPO that also watches how far each token's distribution drifts."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class TDPO1(Objective):
    """Token-level DPO: the KL divergence of whole next-token distributions enters the margin. Choose it to hold the policy near."""

    name = "tdpo1"
    paper = "Zeng et al. 2024, arXiv:2404.11999"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 0.5)}
    needs = Needs(reference=True, position_kl=True)

    beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (D - (Kl - Kw))), K = sum_t KL(ref || pi)"""
        drift = pair.rejected.known("position_kl") - pair.chosen.known("position_kl")
        loss = sigmoid_loss(self.beta * (pair.log_ratio_margin - drift))
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)


@dataclass(frozen=True)
class TDPO2(Objective):
    """Token-level DPO whose divergence is weighted and held fixed on the chosen side. Choose it before TDPO1: it is the stronger."""

    name = "tdpo2"
    paper = "Zeng et al. 2024, arXiv:2404.11999"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 0.5), "alpha": Uniform(0.1, 2.0)}
    needs = Needs(reference=True, position_kl=True)

    beta: float = 0.1
    alpha: float = 0.5

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (D - alpha (Kl - sg[Kw]))), K = sum_t KL(ref || pi)"""
        drift = pair.rejected.known("position_kl") - pair.chosen.known("position_kl").detach()
        loss = sigmoid_loss(self.beta * (pair.log_ratio_margin - self.alpha * drift))
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

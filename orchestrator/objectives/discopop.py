"""DiscoPOP: a loss that a language model found."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, exponent_limit, log_sigmoid, sigmoid, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class DiscoPOP(Objective):
    """Log-Ratio Modulated Loss: logistic below a margin, exponential above it. Choose it when DPO has been tuned and more is wanted.

    It is not convex: at the reference policy, with the published `tau`, it pulls the margin down.
    """

    name = "discopop"
    paper = "Lu et al. 2024, arXiv:2406.08414, Eq. 5"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 0.3), "tau": LogUniform(0.02, 1.0)}
    needs = Needs(reference=True)

    beta: float = 0.05
    tau: float = 0.05

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-(1 - s(z/tau)) log s(z) + s(z/tau) exp(-z), z = beta D"""
        margin = self.beta * pair.log_ratio_margin
        exponent = log_sigmoid(margin / self.tau) - margin
        loss = sigmoid(-margin / self.tau) * sigmoid_loss(margin) + exponent.clamp(max=exponent_limit(margin)).exp()
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

"""SimPO: a length-normalised reward without a reference."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class SimPO(Objective):
    """Simple Preference Optimization: a length-normalised, reference-free reward with a target margin. Choose it to save the reference."""

    name = "simpo"
    paper = "Meng, Xia & Chen 2024, arXiv:2405.14734, Eq. 6"
    search_space = {"beta": LogUniform(1.0, 10.0), "gamma_over_beta": Uniform(0.0, 1.0)}
    needs = Needs()

    beta: float = 2.0
    gamma_over_beta: float = 0.25

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (mw - ml) - gamma)."""
        chosen_reward = self.beta * pair.chosen.mean_logp
        rejected_reward = self.beta * pair.rejected.mean_logp
        margin = chosen_reward - rejected_reward - self.beta * self.gamma_over_beta
        return PairLoss(sigmoid_loss(margin), chosen_reward, rejected_reward)

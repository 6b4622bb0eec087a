"""HPO: DPO for what humans prefer, advantage-weighted likelihood for what the designer wants."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

_LARGEST_WEIGHT = 20.0


@dataclass(frozen=True)
class HPO(Objective):
    """Hybrid Preference Optimization: an auxiliary reward R, in the data's reward fields, weights likelihood beside DPO.

    Derived from the paper's abstract: the value V(x) is the mean R of the pair in place of a value head, likelihoods are per token and
    weights end at 20. Choose it when a reward other than the preference matters too.
    """

    name = "hpo"
    paper = "Badrinath, Agarwal & Xu 2024, arXiv:2405.17956"
    status = "derived"
    search_space = {"beta": LogUniform(0.001, 0.3), "gamma": LogUniform(0.01, 1.0)}
    limits = {"alpha": (lambda value: value > 0, "above 0"), "gamma": (lambda value: value >= 0, "0 or more")}
    needs = Needs(reference=True, reward=True)

    beta: float = 0.1
    gamma: float = 0.1
    alpha: float = 1.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta D) - gamma/2 sum_y exp((R(y) - V) / alpha) m(y), V the mean of R over both responses"""
        advantage = (pair.chosen.known_reward - pair.rejected.known_reward) / 2
        chosen_weight = (advantage / self.alpha).exp().clamp(max=_LARGEST_WEIGHT)
        rejected_weight = (-advantage / self.alpha).exp().clamp(max=_LARGEST_WEIGHT)
        likelihood = (chosen_weight * pair.chosen.mean_logp + rejected_weight * pair.rejected.mean_logp) / 2
        loss = sigmoid_loss(self.beta * pair.log_ratio_margin) - self.gamma * likelihood
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

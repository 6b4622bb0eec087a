"""Losses that look at each response by itself: APO, NCA and SPPO."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class APOZero(Objective):
    """Anchored Preference Optimization: the chosen rises above the reference, the rejected falls below. Choose it when winners are good.

    Not accelerated preference optimisation, which has the same initials.
    """

    name = "apo_zero"
    paper = "D'Oosterlinck et al. 2024, arXiv:2408.06266, Eq. 7"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.003, 0.3)}
    needs = Needs(reference=True)

    beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """1 - s(beta dw) + s(beta dl)"""
        chosen_reward, rejected_reward = self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio
        return PairLoss(sigmoid(-chosen_reward) + sigmoid(rejected_reward), chosen_reward, rejected_reward)


@dataclass(frozen=True)
class APODown(Objective):
    """Anchored Preference Optimization, downwards: both fall, the rejected faster. Choose it when the policy beats its winners."""

    name = "apo_down"
    paper = "D'Oosterlinck et al. 2024, arXiv:2408.06266, Eq. 8"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.003, 0.3)}
    needs = Needs(reference=True)

    beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """s(beta dw) + 1 - s(beta D)"""
        chosen_reward, rejected_reward = self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio
        return PairLoss(sigmoid(chosen_reward) + sigmoid(rejected_reward - chosen_reward), chosen_reward, rejected_reward)


@dataclass(frozen=True)
class NCA(Objective):
    """Noise Contrastive Alignment: absolute rewards, so that the chosen's likelihood does not fall. Choose it to keep likelihood up."""

    name = "nca"
    paper = "Chen et al. 2024, arXiv:2402.05369"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.0001, 0.1)}
    needs = Needs(reference=True)

    beta: float = 0.01

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta dw) - 1/2 log s(-beta dw) - 1/2 log s(-beta dl)"""
        chosen_reward, rejected_reward = self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio
        loss = sigmoid_loss(chosen_reward) + 0.5 * sigmoid_loss(-chosen_reward) + 0.5 * sigmoid_loss(-rejected_reward)
        return PairLoss(loss, chosen_reward, rejected_reward)


@dataclass(frozen=True)
class SPPOHard(Objective):
    """Self-Play Preference Optimization with certain labels: both log ratios are regressed. Choose it for rounds of self-play."""

    name = "sppo_hard"
    paper = "Wu et al. 2024, arXiv:2405.00675"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.0005, 0.1)}
    needs = Needs(reference=True)

    beta: float = 0.001

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """(dw - 1/(2 beta))^2 + (dl + 1/(2 beta))^2"""
        target = 1 / (2 * self.beta)
        loss = (pair.chosen.log_ratio - target) ** 2 + (pair.rejected.log_ratio + target) ** 2
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

"""MinorDPO: DPO that stops punishing."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class MinorDPO(Objective):
    """MinorDPO: the rejected response is penalised only while it is likelier than under the reference. Choose it against degeneration.

    At the reference itself the penalty's gradient is 1, so the first step is DPO's.
    """

    name = "minor_dpo"
    paper = "Xie et al. 2024, arXiv:2408.09834 (third party's reading)"
    status = "paper text"
    search_space = {"beta": LogUniform(0.001, 0.3)}
    needs = Needs(reference=True)

    beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (dw - max(0, dl)))"""
        margin = pair.chosen.log_ratio - pair.rejected.log_ratio.clamp(min=0)
        return PairLoss(sigmoid_loss(self.beta * margin), self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

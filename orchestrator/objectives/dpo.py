"""DPO: the binary classifier of preferred responses that a policy already is."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class DPO(Objective):
    """Direct Preference Optimization; with `label_smoothing` it is conservative DPO (cDPO). Choose it first."""

    name = "dpo"
    paper = "Rafailov et al. 2023, arXiv:2305.18290, Eq. 7; cDPO: Mitchell 2023, ericmitchell.ai/cdpo.pdf"
    search_space = {"beta": LogUniform(0.001, 0.3)}
    needs = Needs(reference=True)

    beta: float = 0.1
    label_smoothing: float = 0.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-(1 - e) log s(beta D) - e log s(-beta D)."""
        margin = self.beta * pair.log_ratio_margin
        loss = (1 - self.label_smoothing) * sigmoid_loss(margin) + self.label_smoothing * sigmoid_loss(-margin)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

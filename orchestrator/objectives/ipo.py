"""IPO: regression of the log-ratio margin to a fixed target."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class IPO(Objective):
    """Identity Preference Optimization: the margin is pulled to 1/(2 beta) and no further. Choose it when labels are deterministic.

    The published results normalise log-ratios by length (`length_normalized`, the default); summed log-ratios give `beta` another scale.
    """

    name = "ipo"
    paper = "Azar et al. 2023, arXiv:2310.12036, Eq. 17"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.0007, 1.0)}
    needs = Needs(reference=True)

    beta: float = 0.1
    length_normalized: bool = True

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """(dw/Lw - dl/Ll - 1/(2 beta))^2; without length_normalized (D - 1/(2 beta))^2"""
        if self.length_normalized:
            chosen, rejected = pair.chosen.mean_log_ratio, pair.rejected.mean_log_ratio
        else:
            chosen, rejected = pair.chosen.log_ratio, pair.rejected.log_ratio
        loss = (chosen - rejected - 1 / (2 * self.beta)) ** 2
        return PairLoss(loss, self.beta * chosen, self.beta * rejected)

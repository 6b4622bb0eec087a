"""DPO: the binary classifier of preferred responses that a policy already is; and its two forms for noisy labels."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class DPO(Objective):
    """Direct Preference Optimization. Choose it first: it is the baseline that every other method is compared with."""

    name = "dpo"
    paper = "Rafailov et al. 2023, arXiv:2305.18290, Eq. 7"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.001, 0.3)}
    needs = Needs(reference=True)

    beta: float = 0.1
    label_smoothing: float = 0.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-(1 - e) log s(beta D) - e log s(-beta D), e = label_smoothing"""
        loss = sigmoid_loss(self.beta * pair.log_ratio_margin, self.label_smoothing)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)


@dataclass(frozen=True)
class CDPO(DPO):
    """Conservative DPO: a share `label_smoothing` of the labels is taken to be wrong. Choose it when annotators disagree."""

    name = "cdpo"
    paper = "Mitchell 2023, ericmitchell.ai/cdpo.pdf, Eq. 3; DPO: arXiv:2305.18290"
    search_space = {"beta": LogUniform(0.001, 0.3), "label_smoothing": Uniform(0.05, 0.45)}

    label_smoothing: float = 0.2


@dataclass(frozen=True)
class RobustDPO(Objective):
    """Robust DPO: an unbiased estimate of DPO's loss when labels are flipped at a known rate. Choose it when that rate is known.

    The loss can fall without bound on pairs that the policy gets wrong with confidence.
    """

    name = "robust_dpo"
    paper = "Chowdhury, Kini & Natarajan 2024, arXiv:2403.00409"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.001, 0.3), "label_smoothing": Uniform(0.0, 0.4)}
    needs = Needs(reference=True)

    beta: float = 0.1
    label_smoothing: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """[-(1 - e) log s(beta D) + e log s(-beta D)] / (1 - 2e), e = label_smoothing"""
        margin, flipped = self.beta * pair.log_ratio_margin, self.label_smoothing
        loss = ((1 - flipped) * sigmoid_loss(margin) - flipped * sigmoid_loss(-margin)) / (1 - 2 * flipped)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

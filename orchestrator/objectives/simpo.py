"""SimPO: a length-normalised reward without a reference."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.errors import SettingsError
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class SimPO(Objective):
    """Simple Preference Optimization: a length-normalised, reference-free reward with a target margin. Choose it to save the reference.

    `loss_type` "hinge" and `sft_weight` (likelihood of the chosen per token) are the variants of the authors' code.
    """

    name = "simpo"
    paper = "Meng, Xia & Chen 2024, arXiv:2405.14734, Eq. 6"
    status = "code-checked"
    search_space = {"beta": LogUniform(1.0, 10.0), "gamma_over_beta": Uniform(0.0, 1.0)}
    limits = {"loss_type": (lambda value: value in {"sigmoid", "hinge"}, '"sigmoid" or "hinge"')}
    needs = Needs()

    beta: float = 2.0
    gamma_over_beta: float = 0.25
    loss_type: str = "sigmoid"
    label_smoothing: float = 0.0
    sft_weight: float = 0.0

    def __post_init__(self) -> None:
        """Raises SettingsError for a hyperparameter outside its limits, or that the hinge would not read."""
        super().__post_init__()
        if self.loss_type == "hinge" and self.label_smoothing > 0:
            place = "simpo.label_smoothing"
            raise SettingsError("the hinge has no label smoothing", place, "leave it out, or use the sigmoid")

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (mw - ml) - gamma), or max(0, 1 - beta (mw - ml) + gamma); - sft_weight mw"""
        chosen_reward = self.beta * pair.chosen.mean_logp
        rejected_reward = self.beta * pair.rejected.mean_logp
        margin = chosen_reward - rejected_reward - self.beta * self.gamma_over_beta
        loss = (1 - margin).relu() if self.loss_type == "hinge" else sigmoid_loss(margin, self.label_smoothing)
        return PairLoss(loss - self.sft_weight * pair.chosen.mean_logp, chosen_reward, rejected_reward)

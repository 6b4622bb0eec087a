"""The loss of reward models: preferences as a logistic function of the difference of two values."""

from dataclasses import dataclass

from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class BradleyTerry(Objective):
    """A reward model by maximum likelihood. It is no method of METHODS: what it trains answers no prompts.

    `margin` times the difference of the data's own rewards is what a pair's values must differ by (Llama 2, arXiv:2307.09288).
    `centring` draws the sum of both values to zero, which differences leave open (Eisenstein et al. 2023, arXiv:2312.09244).
    """

    name = "bradley_terry"
    paper = "Bradley & Terry 1952; Ouyang et al. 2022, arXiv:2203.02155"
    status = "derived"
    limits = {key: (lambda value: value >= 0, "0 or more") for key in ("margin", "centring")}

    margin: float = 0.0
    centring: float = 0.01

    @property
    def needs(self) -> Needs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Values, and the data's rewards for the margin."""
        return Needs(value=True, reward=self.margin > 0)

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(rw - rl - margin (dw - dl)) + centring (rw + rl)^2, r the values, d the data's rewards"""
        chosen, rejected = pair.chosen.known_value, pair.rejected.known_value
        wanted = self.margin * (pair.chosen.known_reward - pair.rejected.known_reward) if self.margin else 0.0
        loss = sigmoid_loss(chosen - rejected - wanted) + self.centring * (chosen + rejected) ** 2
        return PairLoss(loss, chosen, rejected)

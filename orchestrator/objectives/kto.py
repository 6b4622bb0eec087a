"""KTO: each response alone is desirable or not, seen from where the policy stands."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class KTO(Objective):
    """Kahneman-Tversky Optimization: gains and losses against the policy's mean drift. Choose it when the pairing itself is doubtful.

    The drift KL is measured on other prompts' responses, over the whole global batch; the state keeps the last step's, for the record.
    """

    name = "kto"
    paper = "Ethayarajh et al. 2024, arXiv:2402.01306"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 0.5), "undesirable_weight": Uniform(0.75, 1.5)}
    needs = Needs(reference=True, mismatched=True, whole_batch=True)

    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """(1 - s(beta (dw - KL))) ww + (1 - s(beta (KL - dl))) wl, KL = sg[max(0, mean of d over mismatched responses)]"""
        if pair.mismatched is None:
            raise ValueError("mismatched responses were not measured: declare `needs = Needs(mismatched=True)`")
        drift = pair.mismatched.log_ratio.detach().mean().clamp(min=0)
        gain = self.desirable_weight * sigmoid(self.beta * (drift - pair.chosen.log_ratio))
        pain = self.undesirable_weight * sigmoid(self.beta * (pair.rejected.log_ratio - drift))
        return PairLoss(gain + pain, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio, {"kl": drift})

    def initial_state(self) -> State:
        """No drift yet."""
        return {"kl": 0.0}

    def next_state(self, state: State, averaged: State) -> State:
        """The drift that the step measured."""
        return {"kl": averaged["kl"]}

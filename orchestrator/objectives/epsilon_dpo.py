"""epsilon-DPO: every pair chooses its own beta."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.distributions import Choice, LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class EpsilonDPO(Objective):
    """epsilon-DPO: a pair's beta shrinks when a looser policy separates it better, and grows when a tighter one does.

    The running beta follows the mean of the pairs' steps, after each optimiser step. Choose it when the right beta is unknown.
    """

    name = "epsilon_dpo"
    paper = "Lee et al. 2025, arXiv:2502.13177, Alg. 1"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.003, 0.3), "epsilon": Choice((0.005, 0.01, 0.02))}

    beta: float = 0.01
    epsilon: float = 0.01

    @property
    def needs(self) -> Needs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Reference logits, to compare the policies at neighbouring betas."""
        return Needs(reference=True, neighbour_step=self.epsilon)

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(sg[beta / (1 + epsilon step)] D), step -1, 0 or 1 for each pair"""
        if pair.neighbour_step is None:
            raise ValueError("epsilon-DPO needs the neighbouring policies' comparison: score with `needs`")
        step = pair.neighbour_step.detach()
        beta = state["beta"] / (1 + self.epsilon * step)
        loss = sigmoid_loss(beta * pair.log_ratio_margin)
        return PairLoss(loss, beta * pair.chosen.log_ratio, beta * pair.rejected.log_ratio, {"step": step.mean()})

    def initial_state(self) -> State:
        """The running beta starts at `beta`."""
        return {"beta": self.beta}

    def next_state(self, state: State, averaged: State) -> State:
        """Beta <- beta / (1 + epsilon mean(step))."""
        return {"beta": state["beta"] / (1 + self.epsilon * averaged["step"])}

    def compared_anew(self, state: State) -> State:
        """The running beta is no statistic of the reference."""
        return state

    def taken_up(self, state: State, before: Mapping[str, Any]) -> State:
        """The running beta lies as far from `beta` as it did before."""
        return {"beta": state["beta"] * (self.beta / before["beta"])}

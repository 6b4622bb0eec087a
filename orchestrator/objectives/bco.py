"""BCO: a binary classifier of single responses, whose zero follows the mean reward."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, as_state, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class BCO(Objective):
    """Binary Classifier Optimization: rewards above the running mean are chosen, below it rejected. Choose it for thumbs-up data.

    The mean is over all responses of all steps, this one included; without `shift` the zero stays at 0.
    """

    name = "bco"
    paper = "Jung et al. 2024, arXiv:2404.04656"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.003, 0.3)}

    beta: float = 0.01
    shift: bool = True

    @property
    def needs(self) -> Needs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The whole batch, whose mean reward enters the shift."""
        return Needs(reference=True, whole_batch=self.shift)

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta dw - delta) - log s(delta - beta dl), delta = sg[running mean of beta d]"""
        chosen_reward, rejected_reward = self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio
        if not self.shift:
            return PairLoss(sigmoid_loss(chosen_reward) + sigmoid_loss(-rejected_reward), chosen_reward, rejected_reward)
        mean = (chosen_reward + rejected_reward).detach().mean() / 2
        statistics = {"reward_mean": mean, "count": mean * 0 + 2 * len(chosen_reward)}
        delta = self.next_state(state, as_state(statistics))["reward_mean"]
        loss = sigmoid_loss(chosen_reward - delta) + sigmoid_loss(delta - rejected_reward)
        return PairLoss(loss, chosen_reward, rejected_reward, statistics)

    def initial_state(self) -> State:
        """No response was seen."""
        return {"reward_mean": 0.0, "count": 0.0} if self.shift else {}

    def next_state(self, state: State, averaged: State) -> State:
        """The mean over all responses so far."""
        if not self.shift:
            return state
        count = state["count"] + averaged["count"]
        return {
            "reward_mean": (state["reward_mean"] * state["count"] + averaged["reward_mean"] * averaged["count"]) / count,
            "count": count,
        }

    def taken_up(self, state: State, before: Mapping[str, Any]) -> State:
        """The mean reward in units of this beta."""
        if not (self.shift and before["shift"]):
            return self.initial_state()
        return {**state, "reward_mean": state["reward_mean"] * (self.beta / before["beta"])}

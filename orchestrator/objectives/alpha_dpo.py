"""alpha-DPO: SimPO whose target margin adapts to each pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AlphaDPO(Objective):
    """alpha-DPO: pairs that the policy separates more than the reference does get a larger margin. Choose it for uneven pair quality.

    The gap G = (mw - ml) - (mw0 - ml0) is standardised by running averages of the steps before this one, corrected for their start
    at zero, with a floor under the deviation; before the first step the standardised gap is 0. So the loss of a pair does not depend
    on how its batch is split over ranks and micro-batches.
    """

    name = "alpha_dpo"
    paper = "Wu et al. 2024, arXiv:2410.10148, Eq. 11"
    search_space = {"alpha": LogUniform(0.01, 0.2), "beta": LogUniform(2.5, 10.0), "gamma_over_beta": Uniform(0.1, 0.6)}
    needs = Needs(reference=True)

    alpha: float = 0.05
    beta: float = 2.5
    gamma_over_beta: float = 0.15
    ema_decay: float = 0.9

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (mw - ml - sg[gamma/beta + alpha z(G)]))."""
        separation = pair.chosen.mean_logp - pair.rejected.mean_logp
        gap = (separation - _reference_mean(pair)).detach()
        margin = self.gamma_over_beta + self.alpha * self._standardised(gap, state)
        loss = sigmoid_loss(self.beta * (separation - margin))
        statistics = {"gap": gap.mean(), "gap_squared": (gap**2).mean()}
        return PairLoss(loss, self.beta * pair.chosen.mean_logp, self.beta * pair.rejected.mean_logp, statistics)

    def initial_state(self) -> State:
        """Averages at zero, with no weight behind them."""
        return {"gap": 0.0, "gap_squared": 0.0, "weight": 0.0}

    def next_state(self, state: State, averaged: State) -> State:
        """Exponential moving averages of the gap and its square."""
        seen = {**averaged, "weight": 1.0}
        return {key: self.ema_decay * state[key] + (1 - self.ema_decay) * seen[key] for key in state}

    def _standardised(self, gap: Tensor, state: State) -> Tensor:
        if state["weight"] == 0:
            return gap * 0
        mean = state["gap"] / state["weight"]
        variance = state["gap_squared"] / state["weight"] - mean**2
        return (gap - mean) / max(variance, 1e-8) ** 0.5


def _reference_mean(pair: PairScores) -> Tensor:
    chosen = pair.chosen.known_reference_logp / pair.chosen.length.clamp(min=1)
    return chosen - pair.rejected.known_reference_logp / pair.rejected.length.clamp(min=1)

"""alpha-DPO: SimPO whose target margin adapts to each pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, as_state, moving_average, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST_DEVIATION = 0.01


@dataclass(frozen=True)
class AlphaDPO(Objective):
    """alpha-DPO: pairs that the policy separates more than the reference does get a larger margin. Choose it for uneven pair quality.

    The gap G = (mw - ml) - (mw0 - ml0) is standardised by running averages of the steps before this one; until a batch has shown a
    spread of 0.01 nats per token, the standardised gap is 0. So the loss of a pair does not depend on its batch. `compat` updates
    the averages before their use, from zero, as the authors' code does; then the first batch at the reference, or a batch of one pair,
    gives no finite loss.
    """

    name = "alpha_dpo"
    paper = "Wu et al. 2024, arXiv:2410.10148"
    status = "code-checked"
    search_space = {"alpha": LogUniform(0.01, 0.2), "beta": LogUniform(2.5, 10.0), "gamma_over_beta": Uniform(0.1, 0.6)}

    alpha: float = 0.05
    beta: float = 2.5
    gamma_over_beta: float = 0.15
    ema_decay: float = 0.9
    compat: bool = False

    @property
    def needs(self) -> Needs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The whole batch where its own statistics enter its loss."""
        return Needs(reference=True, whole_batch=self.compat)

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (mw - ml - sg[gamma/beta + alpha z])), z the standardised (mw - ml) - (mw0 - ml0)"""
        separation = pair.chosen.mean_logp - pair.rejected.mean_logp
        gap = (pair.chosen.mean_log_ratio - pair.rejected.mean_log_ratio).detach()
        if self.compat:
            statistics = {"ema_mean": gap.mean(), "ema_std": gap.std()}
            usual = moving_average(state, as_state(statistics), self.ema_decay)
            standardised = (gap - usual["ema_mean"]) / usual["ema_std"]
        else:
            statistics = {"gap": gap.mean(), "gap_squared": (gap**2).mean()}
            standardised = _standardised(gap, state)
        loss = sigmoid_loss(self.beta * (separation - (self.gamma_over_beta + self.alpha * standardised)))
        return PairLoss(loss, self.beta * pair.chosen.mean_logp, self.beta * pair.rejected.mean_logp, statistics)

    def initial_state(self) -> State:
        """No step was seen; the authors' averages are zero then."""
        return {"ema_mean": 0.0, "ema_std": 0.0} if self.compat else {}

    def next_state(self, state: State, averaged: State) -> State:
        """Exponential moving averages; a batch without spread, as the first is at the reference, teaches none."""
        if not self.compat and averaged["gap_squared"] - averaged["gap"] ** 2 < _SMALLEST_DEVIATION**2:
            return state
        return moving_average(state, averaged, self.ema_decay)


def _standardised(gap: Tensor, state: State) -> Tensor:
    if not state:
        return gap * 0
    deviation = max(state["gap_squared"] - state["gap"] ** 2, 0.0) ** 0.5
    return (gap - state["gap"]) / max(deviation, _SMALLEST_DEVIATION)

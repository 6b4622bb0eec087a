"""RPO: the implicit reward gap is fitted to the explicit one, under three distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, bernoulli_divergence
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _RPO(Objective):
    """Reward-aware Preference Optimization: uses how much better the chosen response is. Choose it when the data has rewards.

    `eta` scales the explicit rewards; a chosen response with the lower reward is allowed, and pulls the other way.
    """

    paper = "Sun et al. 2025, arXiv:2502.00203, Eq. 5; Nemotron-4: arXiv:2406.11704, Eq. 1"
    search_space = {"beta": LogUniform(0.05, 2.0), "eta": LogUniform(0.5, 10.0)}
    needs = Needs(reference=True, reward=True)

    beta: float = 0.2
    eta: float = 1.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """distance(eta (rw - rl), beta D)."""
        explicit = self.eta * (pair.chosen.known_reward - pair.rejected.known_reward)
        loss = self.distance(explicit, self.beta * pair.log_ratio_margin)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

    def distance(self, explicit: Tensor, implicit: Tensor) -> Tensor:
        """How far the implicit gap is from the explicit one, (B,)."""
        raise NotImplementedError


@dataclass(frozen=True)
class RPOBackward(_RPO):
    """RPO with the backward KL, KL(explicit || implicit): DPO with soft labels. Choose it first of the three."""

    name = "rpo_bwd"

    def distance(self, explicit: Tensor, implicit: Tensor) -> Tensor:
        """KL(Bern(s(explicit)) || Bern(s(implicit)))."""
        return bernoulli_divergence(explicit, implicit)


@dataclass(frozen=True)
class RPOForward(_RPO):
    """RPO with the forward KL, KL(implicit || explicit): mode seeking. Choose it for noisy pairs: it is gentle on confident errors."""

    name = "rpo_fwd"

    def distance(self, explicit: Tensor, implicit: Tensor) -> Tensor:
        """KL(Bern(s(implicit)) || Bern(s(explicit)))."""
        return bernoulli_divergence(implicit, explicit)


@dataclass(frozen=True)
class RPOSquared(_RPO):
    """RPO with the squared distance: IPO whose target is the explicit gap. Choose it for calibrated rewards."""

    name = "rpo_sq"

    def distance(self, explicit: Tensor, implicit: Tensor) -> Tensor:
        """(implicit - explicit)^2."""
        return (implicit - explicit) ** 2

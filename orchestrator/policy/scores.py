"""What an objective may ask to be measured, and the measurements it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Needs:
    """What must be measured besides the policy's log-probabilities.

    `reference`: log-probabilities under the frozen reference. `reward`: explicit rewards of both responses, from the data.
    `neighbour_step`: the epsilon of epsilon-DPO, for which policies at neighbouring betas are compared (needs reference logits).
    """

    reference: bool = False
    reward: bool = False
    neighbour_step: float | None = None


@dataclass(frozen=True)
class ResponseScores:
    """One side of B pairs; every tensor is (B,). Log-probabilities are sums over the response's tokens in nats, `length` counts them."""

    logp: Tensor
    length: Tensor
    reference_logp: Tensor | None = None
    reward: Tensor | None = None

    @property
    def mean_logp(self) -> Tensor:
        """Mean log-probability per token; an empty response has mean 0."""
        return self.logp / self.length.clamp(min=1)

    @property
    def log_ratio(self) -> Tensor:
        """Log pi(y|x) - log pi_ref(y|x). Raises ValueError when the reference was not measured."""
        return self.logp - self.known_reference_logp

    @property
    def known_reference_logp(self) -> Tensor:
        """The reference's log-probability. Raises ValueError when it was not measured."""
        if self.reference_logp is None:
            raise ValueError("the reference was not measured: declare `needs = Needs(reference=True)`")
        return self.reference_logp

    @property
    def known_reward(self) -> Tensor:
        """The explicit reward. Raises ValueError when it was not measured."""
        if self.reward is None:
            raise ValueError("rewards were not measured: declare `needs = Needs(reward=True)`")
        return self.reward


@dataclass(frozen=True)
class PairScores:
    """Both sides of B pairs. `neighbour_step` (B,) is -1, 0 or 1: which way epsilon-DPO moves the beta of each pair."""

    chosen: ResponseScores
    rejected: ResponseScores
    neighbour_step: Tensor | None = None

    @property
    def log_ratio_margin(self) -> Tensor:
        """D = (log pi - log pi_ref)(chosen) - (log pi - log pi_ref)(rejected), shape (B,)."""
        return self.chosen.log_ratio - self.rejected.log_ratio

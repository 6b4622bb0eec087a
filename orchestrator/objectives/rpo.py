"""RPO: the implicit rewards are fitted to the explicit ones, under three distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, categorical_divergence
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _RPO(Objective):
    """What the three distances share.

    `eta` scales the explicit rewards; a chosen response with the lower reward is allowed, and pulls the other way. With `reward_beta`,
    the rewards are another policy's: `reward_beta` times its log ratio, the policy being the first of `model.references`; this form
    was not checked against other code.
    """

    paper = "Sun et al. 2025, arXiv:2502.00203; Nemotron-4: arXiv:2406.11704"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.05, 2.0), "eta": LogUniform(0.5, 10.0)}

    beta: float = 0.2
    eta: float = 1.0
    reward_beta: float | None = None

    @property
    def needs(self) -> Needs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Rewards from the data, or another policy in their place; all scored responses to a prompt."""
        explicit = self.reward_beta is None
        return Needs(reference=True, candidates=True, reward=explicit, extra_references=0 if explicit else 1)

    def _outcome(self, pair: PairScores, loss: Tensor) -> PairLoss:
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

    def _explicit(self, pair: PairScores) -> Tensor:
        """Eta r of the K responses to each prompt, (B, K)."""
        responses = pair.candidates
        if self.reward_beta is None:
            return self.eta * responses.known_reward
        other = responses.known("extra_reference_logp")[..., 0] - responses.known_reference_logp
        return self.eta * self.reward_beta * other

    def _implicit(self, pair: PairScores) -> Tensor:
        """Beta times the log ratios of the K responses, (B, K)."""
        return self.beta * pair.candidates.log_ratio


@dataclass(frozen=True)
class RPOBackward(_RPO):
    """RPO with the backward KL: DPO with soft labels. Choose it first when the data has rewards."""

    name = "rpo_bwd"

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """KL(softmax_k(eta r_k) || softmax_k(beta d_k)); of two responses KL(Bern(s(eta dr)) || Bern(s(beta D)))"""
        return self._outcome(pair, categorical_divergence(self._explicit(pair), self._implicit(pair), pair.is_present))


@dataclass(frozen=True)
class RPOForward(_RPO):
    """RPO with the forward KL: mode seeking. Choose it for noisy pairs: it is gentle on confident errors."""

    name = "rpo_fwd"

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """KL(softmax_k(beta d_k) || softmax_k(eta r_k)); of two responses KL(Bern(s(beta D)) || Bern(s(eta dr)))"""
        return self._outcome(pair, categorical_divergence(self._implicit(pair), self._explicit(pair), pair.is_present))


@dataclass(frozen=True)
class RPOSquared(_RPO):
    """RPO with the squared distance: IPO whose target is the explicit gap. Choose it for calibrated rewards.

    Its form over more than two responses is derived.
    """

    name = "rpo_sq"

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """(beta D - eta dr)^2, averaged over all pairs of K responses"""
        error = self._implicit(pair) - self._explicit(pair)
        if pair.others is None:
            return self._outcome(pair, (error[:, 0] - error[:, 1]) ** 2)
        present = pair.is_present
        count = present.sum(-1)
        centred = (error - (error * present).sum(-1, keepdim=True) / count[:, None]) * present
        return self._outcome(pair, 2 * (centred**2).sum(-1) / (count - 1))

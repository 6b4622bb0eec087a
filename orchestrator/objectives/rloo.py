"""RLOO: policy gradient on scored samples, each judged against the others of its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, exponent_limit
from orchestrator.policy.scores import Needs, PairScores, ResponseScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RLOO(Objective):
    """REINFORCE leave-one-out, for rounds whose responses the reference has sampled. Choose it when on-policy samples have rewards.

    The policy that training starts from, the reference, must be the one that wrote the responses. With `beta`, the KL divergence of
    that policy to the first of `model.references` (the model of the first round) is taken off the rewards.
    """

    name = "rloo"
    paper = "Ahmadian et al. 2024, arXiv:2402.14740"
    status = "paper text"
    search_space = {"epsilon": Uniform(0.1, 0.4)}
    limits = {"beta": (lambda value: value >= 0, "0 or more")}

    beta: float = 0.0
    epsilon: float = 0.2

    @property
    def needs(self) -> Needs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All scored responses; the model of the first round where it counts."""
        return Needs(reference=True, reward=True, candidates=True, extra_references=1 if self.beta > 0 else 0)

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-mean_k min(rho_k A_k, clip(rho_k, 1 - epsilon, 1 + epsilon) A_k), rho = pi/ref, A_k = R_k - mean of the other R"""
        responses, present = pair.candidates, pair.is_present
        advantage = _leave_one_out(self._rewards(responses), present)
        ratio = responses.log_ratio.clamp(max=exponent_limit(responses.logp)).exp()
        gain = (ratio * advantage).minimum(ratio.clamp(1 - self.epsilon, 1 + self.epsilon) * advantage)
        loss = -(gain * present).sum(-1) / present.sum(-1)
        return PairLoss(loss, pair.chosen.log_ratio, pair.rejected.log_ratio)

    def _rewards(self, responses: ResponseScores) -> Tensor:
        if self.beta == 0:
            return responses.known_reward
        drift = responses.known_reference_logp - responses.known("extra_reference_logp")[..., 0]
        return responses.known_reward - self.beta * drift


def _leave_one_out(rewards: Tensor, present: Tensor) -> Tensor:
    """Each reward less the mean of the others of its prompt, (B, K)."""
    kept = rewards.masked_fill(~present, 0)
    others = (kept.sum(-1, keepdim=True) - kept) / (present.sum(-1, keepdim=True) - 1)
    return kept - others

"""Three ways for DPO not to care for length: per token (LN-DPO), over the common prefix (LD-DPO), with a length term (R-DPO)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores, ResponseScores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LNDPO(Objective):
    """Length-normalised DPO: log ratios per token. Choose it when responses differ much in length."""

    name = "ln_dpo"
    paper = "Lambert et al. 2024 (Tulu 3), arXiv:2411.15124"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.5, 20.0)}
    needs = Needs(reference=True)

    beta: float = 5.0

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta (dw/Lw - dl/Ll))"""
        chosen_reward, rejected_reward = self.beta * pair.chosen.mean_log_ratio, self.beta * pair.rejected.mean_log_ratio
        return PairLoss(sigmoid_loss(chosen_reward - rejected_reward), chosen_reward, rejected_reward)


@dataclass(frozen=True)
class LDDPO(Objective):
    """Length-desensitised DPO: what a response has beyond the other's length counts `ld_alpha`. Choose it against verbosity.

    The policy's and the reference's log-probabilities are treated alike.
    """

    name = "ld_dpo"
    paper = "Liu et al. 2024, arXiv:2409.06411"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.001, 0.3), "ld_alpha": Uniform(0.0, 1.0)}
    needs = Needs(reference=True, prefix=True)

    beta: float = 0.1
    ld_alpha: float = 0.5

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta D), every log-probability = first min(Lw, Ll) tokens + ld_alpha the tail"""
        chosen_reward, rejected_reward = self.beta * self._log_ratio(pair.chosen), self.beta * self._log_ratio(pair.rejected)
        return PairLoss(sigmoid_loss(chosen_reward - rejected_reward), chosen_reward, rejected_reward)

    def _log_ratio(self, response: ResponseScores) -> Tensor:
        prefix = response.known("prefix_logp") - response.known("reference_prefix_logp")
        return prefix + self.ld_alpha * (response.log_ratio - prefix)


@dataclass(frozen=True)
class RDPO(Objective):
    """Length-regularised DPO: reward for length, `alpha` a token, is explained away. Choose it when longer answers won for length.

    Derived from the objective r(y) - alpha |y| - beta KL, which fixes the sign: the longer the chosen, the less it teaches.
    """

    name = "r_dpo"
    paper = "Park et al. 2024, arXiv:2403.19159"
    status = "derived"
    search_space = {"beta": LogUniform(0.01, 0.1), "alpha": LogUniform(0.005, 1.0)}
    limits = {"alpha": (lambda value: value >= 0, "0 or more")}
    needs = Needs(reference=True)

    beta: float = 0.1
    alpha: float = 0.01

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta D + alpha (Lw - Ll))"""
        longer = pair.chosen.length - pair.rejected.length
        loss = sigmoid_loss(self.beta * pair.log_ratio_margin + self.alpha * longer)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

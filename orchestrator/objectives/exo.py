"""EXO: the policy, seen through its implicit reward, is fitted to the preferences by the reverse KL."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, categorical_divergence, log_sigmoid
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class EXOPref(Objective):
    """EXO on preferences: the reverse KL to the label, smoothed by `label_smoothing`. Choose it for mode seeking without rewards.

    Its gradient fades for pairs that the policy gets wrong with confidence. `compat` uses the authors' unnormalised target, whose
    log-probabilities are 0 and -10.
    """

    name = "exo_pref"
    paper = "Ji et al. 2024, arXiv:2402.00856, Eq. 16"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 1.0)}
    limits = {"label_smoothing": (lambda value: 0 < value < 0.5, "above 0 and below 0.5: the loss is infinite at 0")}
    needs = Needs(reference=True)

    beta: float = 0.1
    label_smoothing: float = 0.001
    compat: bool = False

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """s(beta D) [log s(beta D) - log(1 - e)] + s(-beta D) [log s(-beta D) - log e], e = label_smoothing"""
        target = (0.0, -10.0) if self.compat else (math.log1p(-self.label_smoothing), math.log(self.label_smoothing))
        margin = self.beta * pair.log_ratio_margin
        yes, no = log_sigmoid(margin), log_sigmoid(-margin)
        loss = yes.exp() * (yes - target[0]) + no.exp() * (no - target[1])
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)


@dataclass(frozen=True)
class EXOReward(Objective):
    """EXO on rewards: the reverse KL to the softmax of the rewards of K responses. Choose it for several scored responses a prompt."""

    name = "exo_rw"
    paper = "Ji et al. 2024, arXiv:2402.00856"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.05, 2.0), "reward_beta": LogUniform(0.1, 2.0)}
    needs = Needs(reference=True, reward=True, candidates=True)

    beta: float = 0.5
    reward_beta: float = 0.5

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """KL(softmax_k(beta d_k) || softmax_k(r_k / reward_beta))"""
        responses = pair.candidates
        loss = categorical_divergence(self.beta * responses.log_ratio, responses.known_reward / self.reward_beta, pair.is_present)
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)

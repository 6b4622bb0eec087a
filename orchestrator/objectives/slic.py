"""Hinge losses: SLiC-HF, and its form against a reference (SLiC-norm, RSO)."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class Hinge(Objective):
    """The hinge loss on DPO's margin: pairs that are separated by 1 teach no more. Choose it to stop at a margin.

    Known as SLiC-norm, and as the hinge form of RSO.
    """

    name = "hinge"
    paper = "Zhao et al. 2023, arXiv:2305.10425; Liu et al. 2023, arXiv:2309.06657"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 1.0)}
    needs = Needs(reference=True)

    beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """max(0, 1 - beta D)"""
        loss = (1 - self.beta * pair.log_ratio_margin).relu()
        return PairLoss(loss, self.beta * pair.chosen.log_ratio, self.beta * pair.rejected.log_ratio)


@dataclass(frozen=True)
class SLiCHF(Objective):
    """SLiC-HF: a hinge on the log-probabilities themselves, and likelihood of the chosen. Choose it to save the reference.

    The likelihood term, weighted `sft_weight` (the paper's lambda), is per token.
    """

    name = "slic_hf"
    paper = "Zhao et al. 2023, arXiv:2305.10425"
    status = "paper text"
    search_space = {"delta": Uniform(0.5, 10.0), "sft_weight": LogUniform(0.01, 1.0)}
    needs = Needs()

    delta: float = 1.0
    sft_weight: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """max(0, delta - lw + ll) - sft_weight mw"""
        loss = (self.delta - pair.chosen.logp + pair.rejected.logp).relu() - self.sft_weight * pair.chosen.mean_logp
        return PairLoss(loss, pair.chosen.logp, pair.rejected.logp)

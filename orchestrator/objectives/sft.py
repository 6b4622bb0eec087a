"""SFT: likelihood of the chosen response; alone a baseline, and a part of other methods."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.combination import weighted_sum
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.objectives.dpo import DPO
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class SFT(Objective):
    """Supervised fine-tuning on the chosen responses. Choose it as a baseline, or as a part of a combination to keep likelihood up."""

    name = "sft"
    paper = "Ouyang et al. 2022, arXiv:2203.02155"
    status = "code-checked"
    needs = Needs()

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-mw"""
        return PairLoss(-pair.chosen.mean_logp, pair.chosen.mean_logp, pair.rejected.mean_logp)


@dataclass(frozen=True)
class DPOSFT(Objective):
    """DPO with likelihood of the chosen, weighted `eta`: RPO of Liu et al. Choose it when DPO lets the chosen's likelihood fall.

    The likelihood is per token of each chosen response, so that a pair's loss does not depend on the batch it is in.
    """

    name = "dpo_sft"
    paper = "Liu et al. 2024, arXiv:2405.16436; Pang et al. 2024, arXiv:2404.19733 (eta 1)"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.001, 0.3), "eta": LogUniform(0.001, 1.0)}
    needs = Needs(reference=True)

    beta: float = 0.01
    eta: float = 0.005

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta D) - eta mw"""
        return weighted_sum([(1.0, DPO(beta=self.beta)(pair, state)), (self.eta, SFT()(pair, state))])

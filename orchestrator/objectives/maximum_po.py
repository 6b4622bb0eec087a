"""MPO of Jiang et al.: preference as reward, without a reference."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives.contract import Objective, PairLoss, State, sigmoid
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class MaximumPO(Objective):
    """Maximum Preference Optimization: the preference probability itself is maximised, held back by likelihood of reference data.

    Derived from the paper's abstract. The chosen responses stand for the reference data, per token; a pretraining term needs data of
    its own and is left out. Choose it to save the reference when labels are deterministic.
    """

    name = "maximum_po"
    paper = "Jiang, Huang & Wei 2023, arXiv:2312.16430"
    status = "derived"
    search_space = {"beta": LogUniform(0.01, 1.0)}
    needs = Needs()

    beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-s(lw - ll) - beta mw"""
        loss = -sigmoid(pair.chosen.logp - pair.rejected.logp) - self.beta * pair.chosen.mean_logp
        return PairLoss(loss, pair.chosen.logp, pair.rejected.logp)

"""The methods and their variants that the contract's tests run through."""

from dataclasses import dataclass
from functools import cache

import pytest

from orchestrator.objectives import METHODS, Objective
from orchestrator.objectives.alphapo import AlphaPO
from orchestrator.objectives.aot import AOT, AOTUnpaired
from orchestrator.objectives.bco import BCO
from orchestrator.objectives.beta_dpo import BetaDPO
from orchestrator.objectives.chi_po import ChiPO
from orchestrator.objectives.exo import EXOPref, EXOReward
from orchestrator.objectives.f_dpo import FDPO
from orchestrator.objectives.ipo import IPO
from orchestrator.objectives.mrpo import MRPO
from orchestrator.objectives.rloo import RLOO
from orchestrator.objectives.rpo import RPOBackward, RPOForward, RPOSquared
from orchestrator.objectives.simpo import SimPO
from orchestrator.objectives.wpo import WPO
from orchestrator.policy.scores import PairScores
from tests.objectives.scores import at_reference, extreme_scores, random_scores, with_others


@dataclass(frozen=True)
class Case:
    """An objective, and whether it is to see more than two responses to a prompt."""

    objective: Objective
    several: bool = False

    def random(self, pairs: int) -> PairScores:
        """Plausible scores."""
        return with_others(random_scores(pairs)) if self.several else random_scores(pairs)

    def at_reference(self, pairs: int) -> PairScores:
        """Scores where every run starts."""
        return with_others(at_reference(pairs)) if self.several else at_reference(pairs)

    def extreme(self) -> PairScores:
        """Float32 scores at which naive formulas break."""
        return _extreme(self.several)


@cache
def _extreme(several: bool) -> PairScores:
    return with_others(extreme_scores()) if several else extreme_scores()


CASES: dict[str, Case] = {name: Case(method()) for name, method in METHODS.items()} | {
    "simpo-hinge": Case(SimPO(loss_type="hinge")),
    "simpo-smoothed-with-likelihood": Case(SimPO(label_smoothing=0.1, sft_weight=0.5)),
    "alphapo-negative": Case(AlphaPO(alpha=-0.5)),
    "alphapo-zero": Case(AlphaPO(alpha=0.0)),
    "f_dpo-forward_kl": Case(FDPO(divergence="forward_kl")),
    "f_dpo-alpha": Case(FDPO(divergence="alpha")),
    "f_dpo-alpha-zero": Case(FDPO(divergence="alpha", alpha=0.0)),
    "f_dpo-alpha-one": Case(FDPO(divergence="alpha", alpha=1.0)),
    "ipo-summed": Case(IPO(length_normalized=False)),
    "chi_po-unclipped": Case(ChiPO(r_max=None)),
    "exo_pref-compat": Case(EXOPref(compat=True)),
    "exo_rw-several": Case(EXOReward(), several=True),
    "rpo_bwd-several": Case(RPOBackward(), several=True),
    "rpo_fwd-several": Case(RPOForward(), several=True),
    "rpo_sq-several": Case(RPOSquared(), several=True),
    "rpo_bwd-other-policy": Case(RPOBackward(reward_beta=0.1)),
    "rpo_fwd-other-policy-several": Case(RPOForward(reward_beta=0.1), several=True),
    "rpo_sq-other-policy": Case(RPOSquared(reward_beta=0.1)),
    "rloo-several": Case(RLOO(), several=True),
    "rloo-kl": Case(RLOO(beta=0.05)),
    "rloo-kl-several": Case(RLOO(beta=0.05), several=True),
    "mrpo-fixed": Case(MRPO(alpha=0.3)),
    "bco-unshifted": Case(BCO(shift=False)),
    "beta_dpo-unfiltered": Case(BetaDPO(filter_ratio=0.0)),
    "aot-smoothed": Case(AOT(label_smoothing=0.1)),
    "aot_unpaired-smoothed": Case(AOTUnpaired(label_smoothing=0.1)),
    "wpo-smoothed": Case(WPO(label_smoothing=0.1)),
}
each_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
each_method = pytest.mark.parametrize("method", [pytest.param(method, id=name) for name, method in METHODS.items()])

"""Losses equal their formulas, written down naively, where nothing overflows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from orchestrator.objectives import METHODS, Objective
from orchestrator.objectives.bradley_terry import BradleyTerry
from orchestrator.objectives.chi_po import ChiPO
from orchestrator.objectives.cpo import CPO
from orchestrator.objectives.discopop import DiscoPOP
from orchestrator.objectives.dpo import DPO
from orchestrator.objectives.exo import EXOPref
from orchestrator.objectives.f_dpo import FDPO
from orchestrator.objectives.hpo import HPO
from orchestrator.objectives.length_dpo import LDDPO, RDPO
from orchestrator.objectives.mrpo import MRPO
from orchestrator.objectives.orpo import ORPO
from orchestrator.objectives.simpo import SimPO
from orchestrator.objectives.slic import Hinge, SLiCHF
from orchestrator.objectives.tdpo import TDPO1, TDPO2
from orchestrator.objectives.unpaired import NCA, APODown, APOZero, SPPOHard
from orchestrator.objectives.wpo import WPO
from orchestrator.policy.scores import PairScores, ResponseScores
from tests.objectives.drawn import PAIRS, close, for_all
from tests.objectives.scores import random_scores

Formula = Callable[[ResponseScores, ResponseScores], Tensor]


def nls(value: Tensor) -> Tensor:
    """The logistic loss, -log s(value)."""
    return softplus(-value)


def d(response: ResponseScores) -> Tensor:
    """How much likelier the policy makes a response than the reference does, in nats."""
    return response.log_ratio


def m(response: ResponseScores) -> Tensor:
    """Log-probability per token."""
    return response.logp / response.length


def kl(response: ResponseScores) -> Tensor:
    return response.known("position_kl")


def odds(response: ResponseScores) -> Tensor:
    return m(response).exp() / (1 - m(response).exp())


def likeness(response: ResponseScores) -> Tensor:
    return ((response.logp - response.known("log_collision")) / response.length).exp()


def alpha_slope(response: ResponseScores) -> Tensor:
    return ((0.3 - 1) * d(response)).expm1() / (0.3 - 1)


def desensitised(response: ResponseScores) -> Tensor:
    prefix, known = response.known("prefix_logp"), response.known("reference_prefix_logp")
    return prefix + 0.3 * (response.logp - prefix) - known - 0.3 * (response.known_reference_logp - known)


def advantage(response: ResponseScores, other: ResponseScores) -> Tensor:
    return response.known_reward - (response.known_reward + other.known_reward) / 2


def exo(c: ResponseScores, r: ResponseScores, log_targets: tuple[float, float]) -> Tensor:
    yes = (0.2 * (d(c) - d(r))).sigmoid()
    return yes * (yes.log() - log_targets[0]) + (1 - yes) * ((1 - yes).log() - log_targets[1])


def smoothed(value: Tensor) -> Tensor:
    return 0.9 * nls(value) + 0.1 * nls(-value)


def modulated(value: Tensor, tau: float) -> Tensor:
    share = (value / tau).sigmoid()
    return (1 - share) * nls(value) + share * (-value).exp()


def chi(response: ResponseScores) -> Tensor:
    return d(response).exp() + d(response)


FORMULAS: Mapping[str, tuple[Objective, Formula]] = {
    "hinge": (Hinge(beta=0.2), lambda c, r: (1 - 0.2 * (d(c) - d(r))).clamp(min=0)),
    "slic_hf": (SLiCHF(delta=2.0, sft_weight=0.3), lambda c, r: (2 - c.logp + r.logp).clamp(min=0) - 0.3 * m(c)),
    "simpo": (SimPO(beta=2.0, gamma_over_beta=0.3), lambda c, r: nls(2 * (m(c) - m(r)) - 0.6)),
    "simpo hinge": (SimPO(2.0, 0.3, "hinge", sft_weight=0.5), lambda c, r: (1 - 2 * (m(c) - m(r)) + 0.6).clamp(min=0) - 0.5 * m(c)),
    "cpo": (CPO(beta=0.2, sft_weight=0.5), lambda c, r: nls(0.2 * (c.logp - r.logp)) - 0.5 * m(c)),
    "orpo": (ORPO(lambda_=0.4, sft_weight=0.7), lambda c, r: 0.4 * nls(odds(c).log() - odds(r).log()) - 0.7 * m(c)),
    "maximum_po": (METHODS["maximum_po"](), lambda c, r: -(c.logp - r.logp).sigmoid() - 0.1 * m(c)),
    "hpo": (
        HPO(beta=0.2, gamma=0.3, alpha=1.5),
        lambda c, r: nls(0.2 * (d(c) - d(r))) - 0.15 * ((advantage(c, r) / 1.5).exp() * m(c) + (advantage(r, c) / 1.5).exp() * m(r)),
    ),
    "r_dpo": (RDPO(beta=0.2, alpha=0.05), lambda c, r: nls(0.2 * (d(c) - d(r)) + 0.05 * (c.length - r.length))),
    "ld_dpo": (LDDPO(beta=0.2, ld_alpha=0.3), lambda c, r: nls(0.2 * (desensitised(c) - desensitised(r)))),
    "wpo": (WPO(beta=0.2), lambda c, r: (likeness(c) * likeness(r)).clamp(max=1) * nls(0.2 * (d(c) - d(r)))),
    "tdpo2": (TDPO2(beta=0.2, alpha=0.7), lambda c, r: nls(0.2 * (d(c) - d(r) - 0.7 * (kl(r) - kl(c))))),
    "apo_zero": (APOZero(beta=0.2), lambda c, r: 1 - (0.2 * d(c)).sigmoid() + (0.2 * d(r)).sigmoid()),
    "apo_down": (APODown(beta=0.2), lambda c, r: (0.2 * d(c)).sigmoid() + 1 - (0.2 * (d(c) - d(r))).sigmoid()),
    "nca": (NCA(beta=0.2), lambda c, r: nls(0.2 * d(c)) + 0.5 * nls(-0.2 * d(c)) + 0.5 * nls(-0.2 * d(r))),
    "sppo_hard": (SPPOHard(beta=0.2), lambda c, r: (d(c) - 2.5) ** 2 + (d(r) + 2.5) ** 2),
    "f_dpo alpha": (FDPO(0.05, "alpha", 0.3), lambda c, r: nls(0.05 * (alpha_slope(c) - alpha_slope(r)))),
    "f_dpo js": (FDPO(beta=0.5), lambda c, r: nls(0.5 * (nls(d(r)) - nls(d(c))))),
    "exo_pref": (EXOPref(beta=0.2, label_smoothing=0.1), lambda c, r: exo(c, r, (math.log(0.9), math.log(0.1)))),
    "exo_pref of its authors": (EXOPref(beta=0.2, compat=True), lambda c, r: exo(c, r, (0.0, -10.0))),
    "simpo smoothed": (SimPO(2.0, 0.3, label_smoothing=0.1), lambda c, r: smoothed(2 * (m(c) - m(r)) - 0.6)),
    "wpo smoothed": (
        WPO(beta=0.2, label_smoothing=0.1),
        lambda c, r: (likeness(c) * likeness(r)).clamp(max=1) * smoothed(0.2 * (d(c) - d(r))),
    ),
    "tdpo1": (TDPO1(beta=0.2), lambda c, r: nls(0.2 * (d(c) - d(r) - (kl(r) - kl(c))))),
    "discopop": (DiscoPOP(beta=0.2, tau=0.5), lambda c, r: modulated(0.2 * (d(c) - d(r)), 0.5)),
    "chi_po": (ChiPO(beta=0.2, r_max=None), lambda c, r: nls(0.2 * (chi(c) - chi(r)))),
    "chi_po clipped": (ChiPO(beta=0.2, r_max=0.3), lambda c, r: nls((0.2 * (chi(c) - chi(r))).clamp(-0.6, 0.6))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_loss_is_its_formula(name: str) -> None:
    objective, formula = FORMULAS[name]
    for seed in range(5):
        scores = random_scores(16, seed, spread=2.0)
        close(objective(scores, {}).loss, formula(scores.chosen, scores.rejected))


def test_a_reward_models_loss_is_the_logistic_one_of_what_its_values_differ_by_beyond_the_margin() -> None:
    scores = random_scores(16)
    value = torch.linspace(-3, 3, 16, dtype=torch.float64)
    scores = replace(scores, chosen=replace(scores.chosen, value=value), rejected=replace(scores.rejected, value=value.flip(0) / 2))
    c, r = (side.known_value for side in (scores.chosen, scores.rejected))
    apart = scores.chosen.known_reward - scores.rejected.known_reward
    outcome = BradleyTerry(margin=0.4, centring=0.03)(scores, {})
    close(outcome.loss, nls(c - r - 0.4 * apart) + 0.03 * (c + r) ** 2)
    close(torch.stack([outcome.chosen_reward, outcome.rejected_reward]), torch.stack([c, r]))
    close(BradleyTerry(centring=0.0)(scores, {}).loss, nls(c - r))


def test_the_chi_squared_link_and_discopops_exponential_end_where_their_exponents_would_overflow() -> None:
    far = with_log_ratio(random_scores(1), 25.0, 0.0)
    close(ChiPO(beta=1e-9, r_max=None)(far, {}).loss, nls(torch.tensor([1e-9 * (math.exp(20) + 25 - 1)], dtype=torch.float64)))
    behind = with_log_ratio(random_scores(1), -100.0, 0.0)
    expected = modulated(torch.tensor([-100.0], dtype=torch.float64), 10.0)
    close(DiscoPOP(beta=1.0, tau=10.0)(behind, {}).loss, expected)


def with_log_ratio(scores: PairScores, chosen: float, rejected: float) -> PairScores:
    """The same policy, with a reference that is so far from it, in nats, on either side."""
    sides = zip((scores.chosen, scores.rejected), (chosen, rejected), strict=True)
    moved = [replace(side, reference_logp=side.logp.detach() - apart) for side, apart in sides]
    return replace(scores, chosen=moved[0], rejected=moved[1])


@pytest.mark.parametrize(("dtype", "mean"), [(torch.float64, -1e-12), (torch.float32, -0.1)])
def test_orpos_odds_are_exact_up_to_near_certainty(dtype: torch.dtype, mean: float) -> None:
    scores, length = random_scores(1, dtype=dtype), torch.ones(1, dtype=torch.long)
    rejected = replace(scores.rejected, logp=torch.tensor([mean], dtype=dtype), length=length)
    scores = replace(scores, chosen=replace(scores.chosen, length=length), rejected=rejected)
    chosen, other = (value - math.log(-math.expm1(value)) for value in (float(scores.chosen.logp.detach()), mean))
    found = ORPO(lambda_=1.0, sft_weight=0.0)(scores, {}).loss
    assert float(found.detach()) == pytest.approx(math.log1p(math.exp(other - chosen)), rel=1e-5)


@for_all(PAIRS)
def test_aot_compares_quantile_with_quantile(scores: PairScores) -> None:
    c, r = scores.chosen, scores.rejected
    pairs = (ordered(c.logp - r.logp) - ordered(c.known_reference_logp - r.known_reference_logp), ordered(d(c)) - ordered(d(r)))
    for name, margin in zip(("aot", "aot_unpaired"), pairs, strict=True):
        close(METHODS[name]()(scores, {}).loss, nls(0.01 * margin))


@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("factors", [(1.02, 0.99), (0.5, 1.5), (1.5, 0.5), (3.0, 3.0)])
def test_mrpo_mixes_the_main_reference_with_the_clipped_further_one(alpha: float | None, factors: tuple[float, float]) -> None:
    scores = random_scores(8)
    main = [side.known_reference_logp for side in (scores.chosen, scores.rejected)]
    extra = [factor * known for factor, known in zip(factors, main, strict=True)]
    for side, values in zip((scores.chosen, scores.rejected), extra, strict=True):
        side.known("extra_reference_logp")[:, 0] = values
    found = MRPO(beta=0.2, eta=0.2, alpha=alpha)(scores, {}).loss
    for row in range(8):
        figures = [[float(values[row]) for values in both] for both in (main, extra)]
        reference = [mixed_reference(figures[0], figures[1], 0.2, alpha, side) for side in (0, 1)]
        margin = scores.chosen.logp[row].item() - reference[0] - scores.rejected.logp[row].item() + reference[1]
        assert float(found[row].detach()) == pytest.approx(math.log1p(math.exp(-0.2 * margin)), rel=1e-9)


def ordered(values: Tensor) -> Tensor:
    """From the smallest to the largest."""
    return torch.stack(sorted(values, key=lambda value: value.item()))


def mixed_reference(main: list[float], extra: list[float], eta: float, alpha: float | None, side: int) -> float:
    """The reference's log-probability of one response of a pair, the chosen (0) or the rejected (1)."""
    middle = [abs(ours + theirs) / 2 for ours, theirs in zip(main, extra, strict=True)]
    width = eta * middle[side] / sum(middle)
    clipped = min(max(extra[side], main[side] * (1 + width)), main[side] * (1 - width))
    apart = abs(extra[0] - extra[1])
    weight = apart / (apart + abs(main[0] - main[1]) + 1e-6) if alpha is None else alpha
    return -math.log(weight * math.exp(-main[side]) + (1 - weight) * math.exp(-clipped))


def test_mrpo_with_all_weight_on_one_reference_is_dpo_against_it() -> None:
    scores = random_scores(8)
    dpo = DPO(beta=0.3)
    assert torch.allclose(MRPO(beta=0.3, alpha=1.0)(scores, {}).loss, dpo(scores, {}).loss, rtol=1e-12)
    near = MRPO(beta=0.3, alpha=0.0, eta=1e6)(scores, {}).loss
    other = replace(
        scores,
        chosen=replace(scores.chosen, reference_logp=scores.chosen.known("extra_reference_logp")[:, 0]),
        rejected=replace(scores.rejected, reference_logp=scores.rejected.known("extra_reference_logp")[:, 0]),
    )
    assert torch.allclose(near, dpo(other, {}).loss, rtol=1e-12)

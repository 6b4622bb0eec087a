"""Inputs at which other implementations give NaN, infinity or a lost digit."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from orchestrator.objectives import METHODS, Objective
from orchestrator.objectives.alpha_dpo import AlphaDPO
from orchestrator.objectives.alphapo import AlphaPO
from orchestrator.objectives.discopop import DiscoPOP
from orchestrator.objectives.exo import EXOPref
from orchestrator.objectives.f_dpo import FDPO
from orchestrator.objectives.hpo import HPO
from orchestrator.objectives.ipo import IPO
from orchestrator.objectives.orpo import ORPO
from orchestrator.objectives.simpo import SimPO
from orchestrator.objectives.unpaired import APOZero
from orchestrator.policy.scores import PairScores
from tests.objectives.cases import Case, each_case
from tests.objectives.drawn import close
from tests.objectives.scores import after, altered, at_reference, gradients, pair_of, random_scores


def scores_of(
    chosen: list[float], rejected: list[float], ratios: tuple[float, float] = (0.0, 0.0), dtype: torch.dtype = torch.float32
) -> PairScores:
    """Pairs of one-token responses with these log-probabilities, and these log ratios of both sides."""
    logps = [torch.tensor(values, dtype=dtype) for values in (chosen, rejected)]
    ones = torch.ones_like(logps[0])
    return pair_of(logps, [ones.long()] * 2, [ratio * ones for ratio in ratios], [ones, 0 * ones])


def finite(objective: Objective, scores: PairScores) -> tuple[Tensor, Tensor, Tensor]:
    """The losses and both sides' gradients, which must be finite."""
    outcome, slopes = gradients(objective, scores, objective.initial_state())
    found = (outcome.loss.detach(), slopes["chosen.logp"], slopes["rejected.logp"])
    assert all(values.isfinite().all() for values in found)
    return found


@pytest.mark.parametrize("alpha", [0.25, -0.5])
def test_alphapo_keeps_its_gradient_below_a_mean_log_probability_of_minus_87_in_float32(alpha: float) -> None:
    unlikely = [-87.0, -88.0, -104.0, -150.0]
    objective = AlphaPO(alpha=alpha)
    single = finite(objective, scores_of(unlikely, [-1.0] * 4))
    double = finite(objective, scores_of(unlikely, [-1.0] * 4, dtype=torch.float64))
    for found, wanted in zip(single, double, strict=True):
        assert torch.allclose(found.double(), wanted, rtol=1e-4)
    assert (single[1] < 0).all()


def test_orpo_is_finite_and_pushes_up_a_chosen_response_that_is_all_but_certain() -> None:
    for certain in (0.0, -1e-9):
        for objective in (ORPO(), ORPO(lambda_=2.0)):
            _, chosen, rejected = finite(objective, scores_of([certain, -2.0, certain], [-2.0, certain, certain]))
            assert (chosen < 0).all()
            assert (rejected >= 0).all()


def test_discopop_is_finite_where_its_exponential_overflows_and_follows_the_formula_short_of_it() -> None:
    for margin in (-80.0, -88.0, -89.0, -500.0, -1e4):
        finite(DiscoPOP(beta=1.0), scores_of([-2e4], [-2e4], (margin, 0.0)))
        finite(DiscoPOP(beta=1.0), scores_of([-2e4], [-2e4], (margin, 0.0), torch.float64))
    loss, *_ = finite(DiscoPOP(beta=1.0), scores_of([-2e4], [-2e4], (-500.0, 0.0), torch.float64))
    assert float(loss) == pytest.approx(500.0)


def test_alpha_dpos_first_batch_at_the_reference_is_simpos() -> None:
    for pairs in (8, 1):
        loss, *_ = finite(AlphaDPO(), at_reference(pairs))
        close(loss, SimPO(beta=2.5, gamma_over_beta=0.15)(at_reference(pairs), {}).loss.detach())


def test_alpha_dpo_stays_finite_after_batches_without_any_spread() -> None:
    objective, state = AlphaDPO(), {}
    for scores in (at_reference(1), at_reference(8), random_scores(1), random_scores(8)):
        outcome, slopes = gradients(objective, scores, state)
        assert outcome.loss.isfinite().all()
        assert slopes["chosen.logp"].isfinite().all()
        state = after(objective, state, outcome)


def test_ipo_at_the_reference_is_its_squared_target() -> None:
    for objective in (IPO(beta=0.1), IPO(beta=0.1, length_normalized=False)):
        loss, *_ = finite(objective, at_reference(4))
        close(loss, torch.full((4,), 25.0, dtype=torch.float64))


@each_case
def test_a_response_of_length_zero_is_finite(case: Case) -> None:
    nothing = torch.zeros(3)
    for lengths in ([0, 0, 0], [0, 3, 7]):
        counts = torch.tensor(lengths)
        empty = pair_of([nothing, -counts.float()], [0 * counts, counts], [nothing, nothing], [nothing + 1, nothing])
        outcome, slopes = gradients(case.objective, empty, case.objective.initial_state())
        assert all(values.isfinite().all() for values in (outcome.loss, outcome.chosen_reward, *slopes.values()))


def test_an_empty_response_has_reward_zero_in_simpo_and_ratio_zero_in_ipo() -> None:
    empty = altered(scores_of([0.0], [0.0]), length=torch.tensor([0]))
    assert SimPO()(empty, {}).chosen_reward.tolist() == [0.0]
    assert IPO(beta=0.1)(empty, {}).loss.tolist() == pytest.approx([25.0])


@pytest.mark.parametrize("divergence", ["forward_kl", "js", "alpha"])
def test_f_dpo_is_finite_when_either_side_has_lost_a_thousand_nats(divergence: str) -> None:
    objective = FDPO(divergence=divergence)
    for ratios in ((-1e3, 0.0), (0.0, -1e3), (-1e3, -1e3), (-90.0, 0.0), (1e3, -1e3)):
        finite(objective, scores_of([-2e3], [-2e3], ratios))


def test_f_dpo_with_the_forward_kl_still_pushes_up_a_chosen_response_that_has_lost_seventy_nats() -> None:
    _, chosen, _ = finite(FDPO(divergence="forward_kl"), scores_of([-200.0], [-200.0], (-70.0, 0.0)))
    assert float(chosen) == pytest.approx(-0.1 * math.exp(70.0), rel=1e-4)


def test_hpo_with_rewards_a_thousand_apart_ends_its_weights() -> None:
    scores = scores_of([-1.0], [-2.0])
    loss, chosen, rejected = finite(HPO(beta=0.1, gamma=0.1), replace(scores, chosen=replace(scores.chosen, reward=torch.tensor([1e3]))))
    assert float(chosen) == pytest.approx(-0.05 - 0.05 * 20)
    assert float(rejected) == pytest.approx(0.05)
    assert float(loss) == pytest.approx(math.log(2) + 0.05 * 20)


@pytest.mark.parametrize("name", ["kto", "bco", "beta_dpo", "aot", "aot_unpaired"])
def test_a_global_batch_of_one_pair_teaches_at_every_step(name: str) -> None:
    objective = METHODS[name]()
    state = objective.initial_state()
    for step in range(3):
        outcome, slopes = gradients(objective, random_scores(1, seed=step), state)
        assert float(slopes["chosen.logp"]) < 0
        assert float(slopes["rejected.logp"]) > 0
        state = after(objective, state, outcome)
        assert all(math.isfinite(value) for value in state.values())


def test_apo_zero_keeps_its_tiny_loss_and_gradient_where_one_minus_the_sigmoid_rounds_to_zero() -> None:
    won = scores_of([-1.0], [-2e3], (0.0, -790.0), torch.float64)
    won = replace(won, chosen=replace(won.chosen, reference_logp=won.chosen.logp.detach() - 790.0))
    loss, chosen, rejected = finite(APOZero(beta=0.1), won)
    tiny = math.exp(-79.0)
    assert float(loss) == pytest.approx(2 * tiny, rel=1e-9, abs=0)
    assert float(chosen) == pytest.approx(-0.1 * tiny, rel=1e-9, abs=0)
    assert float(rejected) == pytest.approx(0.1 * tiny, rel=1e-9, abs=0)


@pytest.mark.parametrize("name", ["kto", "apo_zero", "apo_down", "rpo_fwd", "exo_pref"])
def test_a_tiny_gradient_in_float32_is_the_one_of_float64(name: str) -> None:
    objective = METHODS[name]()
    beta = objective.hyperparameters()["beta"]
    single, double = (
        finite(objective, scores_of([-200.0], [-2e3], (20 / beta, -2 / beta), dtype)) for dtype in (torch.float32, torch.float64)
    )
    for found, wanted in zip(single, double, strict=True):
        assert float(found) == pytest.approx(float(wanted), rel=1e-4, abs=1e-30)


def test_exo_keeps_the_vanishing_gradient_of_a_confidently_wrong_pair() -> None:
    _, chosen, _ = finite(EXOPref(beta=1.0), scores_of([-2e3], [-2e3], (-50.0, 0.0), torch.float64))
    assert float(chosen) == pytest.approx(math.exp(-50.0) * (-50.0 - math.log(0.999 / 0.001)), rel=1e-6, abs=0)

"""Weighted sums of methods."""

import pytest
import torch

from orchestrator.errors import SettingsError
from orchestrator.objectives import make_objective, method_named
from orchestrator.objectives.bco import BCO
from orchestrator.objectives.dpo import DPO
from orchestrator.objectives.mrpo import MRPO
from orchestrator.objectives.sft import DPOSFT, SFT
from orchestrator.policy.scores import Needs, PairScores
from tests.objectives.drawn import PAIRS, assert_same, close, for_all, share
from tests.objectives.scores import after, gradients, random_scores


@for_all(PAIRS, share(0.01, 0.5), share(0.0, 2.0))
def test_dpo_plus_weighted_likelihood_is_dpo_sft(scores: PairScores, beta: float, eta: float) -> None:
    combination = make_objective("dpo+sft", {"dpo_beta": beta, "sft_weight": eta})
    assert_same(combination, DPOSFT(beta=beta, eta=eta or 1e-300), scores)


def test_a_combination_is_the_weighted_sum_of_its_parts_and_keeps_their_state_and_statistics_under_their_names() -> None:
    combination = make_objective("dpo+bco+sft", {"dpo_weight": 0.8, "bco_weight": 0.2, "sft_weight": 0.5, "bco_beta": 0.05})
    parts, weights = {"dpo": DPO(), "bco": BCO(beta=0.05), "sft": SFT()}, {"dpo": 0.8, "bco": 0.2, "sft": 0.5}
    state, own = combination.initial_state(), {"reward_mean": 0.0, "count": 0.0}
    for seed in range(3):
        scores = random_scores(5, seed)
        outcome = combination(scores, state)
        outcomes = {name: part(scores, own if name == "bco" else {}) for name, part in parts.items()}
        close(outcome.loss, torch.stack([weights[name] * outcomes[name].loss for name in parts]).sum(0))
        assert torch.equal(outcome.chosen_reward, outcomes["dpo"].chosen_reward)
        assert torch.equal(outcome.rejected_reward, outcomes["dpo"].rejected_reward)
        assert set(outcome.statistics) == {"bco.reward_mean", "bco.count"}
        state, own = after(combination, state, outcome), after(parts["bco"], own, outcomes["bco"])
        assert state == {f"bco.{key}": value for key, value in own.items()}


def test_a_part_of_weight_zero_has_no_say() -> None:
    assert_same(make_objective("simpo+sft", {"sft_weight": 0}), make_objective("simpo", {}), random_scores(4))


def test_parts_whose_names_begin_alike_keep_their_states_apart() -> None:
    combination = make_objective("dpo+alpha_dpo+beta_dpo", {"beta_dpo_filter_ratio": 0.0})
    state = combination.initial_state()
    state = after(combination, state, combination(random_scores(4), state))
    assert set(state) == {"alpha_dpo.gap", "alpha_dpo.gap_squared", "beta_dpo.draws", "beta_dpo.gap_mean", "beta_dpo.gap_std"}


def test_a_combination_needs_what_any_part_needs() -> None:
    needs = method_named("epsilon_dpo+mrpo+ld_dpo+simpo")().needs
    assert needs == Needs(reference=True, neighbour_step=0.01, extra_references=1, prefix=True)
    assert method_named("sft+aot")().needs == Needs(reference=True, whole_batch=True)


def test_hyperparameters_and_ranges_carry_their_parts_name() -> None:
    method = method_named("dpo+sft")
    assert method.name == "dpo+sft"
    assert method().hyperparameters() == {"dpo_weight": 1.0, "sft_weight": 1.0, "dpo_beta": 0.1, "dpo_label_smoothing": 0.0}
    assert method.search_space == {"dpo_beta": DPO.search_space["beta"]}
    assert DPO.paper in method.paper
    assert SFT.paper in method.paper


def test_an_absent_value_of_a_part_stays_absent() -> None:
    combination = make_objective("mrpo+sft", {})
    scores = random_scores(4)
    close(combination(scores, {}).loss, MRPO()(scores, {}).loss + SFT()(scores, {}).loss)
    assert make_objective("mrpo+sft", {"mrpo_alpha": 0.3}).hyperparameters()["mrpo_alpha"] == 0.3


@pytest.mark.parametrize("name", ["dpo+dpo", "dpo+sft+dpo"])
def test_a_method_is_combined_with_itself_only_by_its_weight(name: str) -> None:
    with pytest.raises(SettingsError, match=r"names a method twice") as refusal:
        method_named(name)
    assert refusal.value.where
    assert refusal.value.cure


@pytest.mark.parametrize("name", ["dpo+sfft", "dpo+", "+dpo"])
def test_an_unknown_part_is_refused_with_where_and_cure(name: str) -> None:
    with pytest.raises(SettingsError, match=r"there is no method") as refusal:
        method_named(name, "trial.method")
    assert refusal.value.code == "DAA-0110"
    assert refusal.value.where == "trial.method"
    assert refusal.value.cure


@pytest.mark.parametrize(
    ("key", "value"),
    [("sft_weight", -1), ("dpo_weight", "x"), ("dpo_weight", True), ("dpo_beta", 0), ("dpo_beta", "x"), ("dpo_label_smoothing", 0.5)],
)
def test_a_parts_hyperparameter_outside_its_limits_is_refused_when_the_combination_is_made(key: str, value: object) -> None:
    with pytest.raises(SettingsError, match=r"cure") as refusal:
        make_objective("dpo+sft", {key: value})
    assert key in refusal.value.where or key.removeprefix("dpo_") in refusal.value.where


def test_gradients_reach_every_part() -> None:
    scores = random_scores(4)
    slopes = gradients(make_objective("tdpo1+ld_dpo", {}), scores, {})[1]
    assert all((slopes[name] != 0).all() for name in ("chosen.logp", "chosen.prefix_logp", "chosen.position_kl"))

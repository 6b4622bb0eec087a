"""Published defaults, and the refusal of values that no method can use."""

import math
from typing import Any

import pytest

from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS, Objective, make_objective
from orchestrator.objectives.simpo import SimPO
from tests.objectives.cases import each_method

PUBLISHED: dict[str, dict[str, Any]] = {
    "dpo": {"beta": 0.1, "label_smoothing": 0.0},
    "cdpo": {"label_smoothing": 0.2},
    "robust_dpo": {"beta": 0.1, "label_smoothing": 0.1},
    "ipo": {"beta": 0.1, "length_normalized": True},
    "slic_hf": {"delta": 1.0, "sft_weight": 0.1},
    "simpo": {"beta": 2.0, "gamma_over_beta": 0.25, "loss_type": "sigmoid", "label_smoothing": 0.0, "sft_weight": 0.0},
    "alphapo": {"alpha": 0.25, "beta": 2.5, "gamma_over_beta": 0.1},
    "alpha_dpo": {"alpha": 0.05, "beta": 2.5, "gamma_over_beta": 0.15, "ema_decay": 0.9, "compat": False},
    "epsilon_dpo": {"beta": 0.01, "epsilon": 0.01},
    "beta_dpo": {"beta": 0.1, "alpha": 0.6, "filter_ratio": 0.2, "ema_decay": 0.9, "compat": False},
    "minor_dpo": {"beta": 0.1},
    "rpo_bwd": {"beta": 0.2, "eta": 1.0, "reward_beta": None},
    "rpo_fwd": {"beta": 0.2, "eta": 1.0, "reward_beta": None},
    "rpo_sq": {"beta": 0.2, "eta": 1.0, "reward_beta": None},
    "exo_pref": {"beta": 0.1, "label_smoothing": 0.001, "compat": False},
    "exo_rw": {"beta": 0.5, "reward_beta": 0.5},
    "dpo_sft": {"beta": 0.01, "eta": 0.005},
    "cpo": {"beta": 0.1, "sft_weight": 1.0},
    "orpo": {"lambda_": 0.1, "sft_weight": 1.0},
    "kto": {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0},
    "bco": {"beta": 0.01, "shift": True},
    "nca": {"beta": 0.01},
    "apo_zero": {"beta": 0.1},
    "apo_down": {"beta": 0.1},
    "sppo_hard": {"beta": 0.001},
    "tdpo1": {"beta": 0.1},
    "tdpo2": {"beta": 0.1, "alpha": 0.5},
    "ln_dpo": {"beta": 5.0},
    "ld_dpo": {"ld_alpha": 0.5},
    "aot": {"beta": 0.01, "label_smoothing": 0.0},
    "aot_unpaired": {"beta": 0.01, "label_smoothing": 0.0},
    "discopop": {"beta": 0.05, "tau": 0.05},
    "chi_po": {"beta": 0.05, "r_max": 2.0},
    "wpo": {"beta": 0.01},
    "mrpo": {"beta": 0.1, "eta": 0.1, "alpha": None},
}
BAD: tuple[tuple[str, str, Any], ...] = (
    ("robust_dpo", "label_smoothing", 0.5),
    ("dpo", "label_smoothing", -0.1),
    ("cdpo", "label_smoothing", 0.5),
    ("exo_pref", "label_smoothing", 0),
    ("exo_pref", "label_smoothing", 0.5),
    ("wpo", "label_smoothing", 0.5),
    ("aot", "label_smoothing", 0.7),
    ("simpo", "label_smoothing", 0.5),
    ("simpo", "loss_type", "x"),
    ("simpo", "loss_type", 1),
    ("simpo", "sft_weight", -1),
    ("f_dpo", "divergence", "kl"),
    ("f_dpo", "divergence", None),
    ("f_dpo", "alpha", 1.5),
    ("f_dpo", "alpha", -0.1),
    ("epsilon_dpo", "epsilon", 0),
    ("epsilon_dpo", "epsilon", 1),
    ("rloo", "epsilon", 0),
    ("rloo", "beta", -0.1),
    ("mrpo", "alpha", 3),
    ("mrpo", "alpha", -0.1),
    ("mrpo", "alpha", "adaptive"),
    ("mrpo", "eta", 0),
    ("ipo", "length_normalized", 1),
    ("ipo", "length_normalized", "yes"),
    ("bco", "shift", 0),
    ("alpha_dpo", "compat", 1.0),
    ("alpha_dpo", "ema_decay", 1.0),
    ("beta_dpo", "ema_decay", -0.1),
    ("beta_dpo", "filter_ratio", 1.0),
    ("beta_dpo", "filter_ratio", -0.2),
    ("chi_po", "r_max", 0),
    ("chi_po", "r_max", "none"),
    ("rpo_bwd", "eta", 0),
    ("rpo_sq", "reward_beta", 0),
    ("exo_rw", "reward_beta", 0),
    ("exo_rw", "reward_beta", None),
    ("dpo_sft", "eta", 0),
    ("discopop", "tau", 0),
    ("cpo", "sft_weight", -0.5),
    ("orpo", "lambda_", -0.1),
    ("kto", "desirable_weight", -1),
    ("kto", "undesirable_weight", -1),
    ("ld_dpo", "ld_alpha", 1.1),
    ("ld_dpo", "ld_alpha", -0.1),
    ("r_dpo", "alpha", -0.01),
    ("hpo", "alpha", 0),
    ("hpo", "gamma", -0.1),
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_defaults_are_the_published_ones(name: str) -> None:
    assert METHODS[name]().hyperparameters().items() >= PUBLISHED[name].items()


@pytest.mark.parametrize(("name", "key", "value"), BAD, ids=[f"{name}.{key}={value}" for name, key, value in BAD])
def test_a_value_that_the_method_cannot_use_is_refused_with_where_and_cure(name: str, key: str, value: object) -> None:
    refused(name, key, value)


@each_method
def test_no_number_may_be_text_a_truth_value_or_not_finite(method: type[Objective]) -> None:
    for key, default in method().hyperparameters().items():
        if not isinstance(default, bool | str):
            for value in ("x", "0.1", True, math.nan, math.inf, -math.inf, [0.1]):
                refused(method.name, key, value)


@each_method
def test_beta_is_above_zero_and_is_not_left_out(method: type[Objective]) -> None:
    if "beta" in method().hyperparameters():
        for value in (-1, None) if method.name == "rloo" else (0, -1, None):
            refused(method.name, "beta", value)


@each_method
def test_every_end_of_a_search_range_is_a_value_that_the_method_takes(method: type[Objective]) -> None:
    for key, space in method.search_space.items():
        ends = (space.low, space.high) if hasattr(space, "low") else space.options  # pyright: ignore[reportAttributeAccessIssue]
        for value in ends:
            assert make_objective(method.name, {key: value}).hyperparameters()[key] == value
        assert space.contains(method().hyperparameters()[key])


@pytest.mark.parametrize(("name", "key"), [("mrpo", "alpha"), ("chi_po", "r_max"), ("rpo_fwd", "reward_beta")])
def test_what_may_be_left_out_may_be_absent(name: str, key: str) -> None:
    assert make_objective(name, {key: None}).hyperparameters()[key] is None


@pytest.mark.parametrize(
    ("name", "key", "right"),
    [
        ("simpo", "gamma_over_bet", "gamma_over_beta"),
        ("dpo", "betta", "beta"),
        ("orpo", "lambda", "lambda_"),
        ("dpo+sft", "sft_wieght", "sft_weight"),
    ],
)
def test_an_unknown_hyperparameter_is_refused_with_the_nearest_right_name(name: str, key: str, right: str) -> None:
    with pytest.raises(SettingsError, match=r"has no hyperparameter") as refusal:
        make_objective(name, {key: 0.1})
    assert refusal.value.where == f"{name}.{key}"
    assert repr(right) in refusal.value.cure


def refused(name: str, key: str, value: object) -> None:
    """The value is refused, and the text says what, where and what to do."""
    with pytest.raises(SettingsError) as refusal:
        make_objective(name, {key: value})
    assert f"{key} is {value!r}" in str(refusal.value)
    assert f"where: {name}.{key}" in str(refusal.value)
    assert refusal.value.cure.startswith("it must be ")


def test_the_hinge_of_simpo_refuses_a_label_smoothing_that_it_would_not_read() -> None:
    with pytest.raises(SettingsError) as refused:
        SimPO(loss_type="hinge", label_smoothing=0.1)
    told = refused.value
    assert (told.what, told.where) == ("the hinge has no label smoothing", "simpo.label_smoothing")
    assert told.cure == "leave it out, or use the sigmoid"
    assert SimPO(loss_type="hinge").label_smoothing == 0.0
    assert SimPO(label_smoothing=0.1).loss_type == "sigmoid"

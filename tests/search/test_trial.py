"""Trials carry only what their method has, and the space they are drawn from is the settings' own."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.distributions import Choice, LogUniform, Uniform
from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS, method_named
from orchestrator.search.grid import listed_samples
from orchestrator.search.trial import Origin, Trial, joint_space, published_samples, ranges_of, searched_selections, trial_of
from orchestrator.settings import RangeSettings, SearchSettings, SelectionSettings, Settings, TrainingSettings
from tests.search.events import of_training

SAMPLE: dict[str, Any] = {"method": "dpo", "dpo.beta": 0.1, "simpo.beta": 2.5, "training.learning_rate": 1e-6}
OWN = "from dataclasses import dataclass\nfrom orchestrator.objectives.dpo import DPO\n"
OWN += "@dataclass(frozen=True)\nclass MyPO(DPO):\n    name = 'my_po'\n"
# Published defaults that their own search space leaves out, and why it may.
OUTSIDE: dict[str, set[str]] = {}


def test_a_trial_keeps_only_its_own_methods_hyperparameters_and_the_training_settings() -> None:
    trial = Trial.from_sample(7, SAMPLE)
    assert (trial.method, trial.hyperparameters, trial.training) == ("dpo", {"beta": 0.1}, {"learning_rate": 1e-6})
    assert trial.id.startswith("007-dpo-")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a method of one's own, in a module of the working directory."""
    (tmp_path / f"own_{tmp_path.name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return f"own_{tmp_path.name}:MyPO"


@pytest.mark.parametrize("other", ["dpo_sft.beta", "dpo+sft.dpo_beta", "dpo.losses:MyPO.beta", "training.losses:MyPO.beta"])
def test_a_name_that_begins_like_the_methods_or_like_training_is_not_theirs(other: str) -> None:
    trial = Trial.from_sample(1, {"method": "dpo", "dpo.beta": 1.0, "training.learning_rate": 1e-6, other: 2.0})
    assert (trial.hyperparameters, trial.training) == ({"beta": 1.0}, {"learning_rate": 1e-6})


@pytest.mark.parametrize("change", [{"dpo.beta": 0.2}, {"training.learning_rate": 2e-6}, {"method": "ipo"}])
def test_one_number_with_other_content_has_another_id(change: dict[str, Any]) -> None:
    assert Trial.from_sample(7, SAMPLE).id != Trial.from_sample(7, SAMPLE | change).id


def test_the_same_sample_in_another_order_has_the_same_id() -> None:
    assert Trial.from_sample(7, SAMPLE) == Trial.from_sample(7, dict(reversed(SAMPLE.items())))


def test_a_trial_makes_its_objective_and_its_training_settings() -> None:
    trial = Trial.from_sample(1, SAMPLE)
    assert trial.objective() == METHODS["dpo"](beta=0.1)  # pyright: ignore[reportCallIssue]
    settings = trial.training_settings(TrainingSettings(batch_size=64))
    assert (settings.learning_rate, settings.batch_size) == (1e-6, 64)


def test_a_hyperparameter_that_the_method_does_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="dpo has no hyperparameter 'betta'") as refused:
        Trial("1", "dpo", {"betta": 0.1}, {}).objective()
    assert refused.value.code == "DAA-0111"
    assert "did you mean 'beta'?" in refused.value.cure


def test_the_joint_space_has_every_searched_method_and_plain_dpo_and_no_other() -> None:
    wanted = {name: METHODS[name].search_space for name in ("dpo", "simpo")}
    assert joint_space(SearchSettings(methods=("dpo", "simpo"))) == wanted
    assert joint_space(SearchSettings(methods=("simpo",))) == wanted


def test_the_settings_ranges_replace_the_methods_and_add_training() -> None:
    ranges = {
        "dpo": {"beta": RangeSettings(low=0.05, high=0.2), "label_smoothing": RangeSettings(options=(0.0, 0.1))},
        "training": {"learning_rate": RangeSettings(low=1e-7, high=1e-5, log=True)},
    }
    space = joint_space(SearchSettings(methods=("dpo", "ipo"), space=ranges))
    assert space["dpo"] == {"beta": Uniform(0.05, 0.2), "label_smoothing": Choice((0.0, 0.1))}
    assert space["training"] == {"learning_rate": LogUniform(1e-7, 1e-5)}
    assert space["ipo"] == METHODS["ipo"].search_space


def test_a_method_has_ranges_of_training_of_its_own_in_the_place_of_those_that_all_share() -> None:
    ranges = {
        "training": {"learning_rate": RangeSettings(low=1e-7, high=1e-6, log=True), "warmup": RangeSettings(low=0, high=0.5)},
        "simpo": {"learning_rate": RangeSettings(low=1e-6, high=1e-5, log=True), "batch_size": RangeSettings(options=(32, 64))},
    }
    search = SearchSettings(methods=("dpo", "simpo"), space=ranges)
    space = joint_space(search)
    shared = {"training.learning_rate": LogUniform(1e-7, 1e-6), "training.warmup": Uniform(0, 0.5)}
    assert ranges_of("dpo", space) == {"dpo.beta": METHODS["dpo"].search_space["beta"]} | shared
    own = {"training.learning_rate": LogUniform(1e-6, 1e-5), "training.batch_size": Choice((32, 64))}
    assert ranges_of("simpo", space) == {f"simpo.{key}": each for key, each in METHODS["simpo"].search_space.items()} | shared | own
    dpo, simpo = published_samples(search.methods, space, of_training(learning_rate=5e-7, batch_size=64))
    assert dpo["training.learning_rate"] == 5e-7 and "training.batch_size" not in dpo
    assert simpo["training.batch_size"] == 64 and "training.learning_rate" not in simpo, "it is outside of its range"
    assert Trial.from_sample(1, simpo | {"training.learning_rate": 2e-6}).training["learning_rate"] == 2e-6
    grids = listed_samples(search.model_copy(update={"searcher": "grid"}), of_training())
    rates = {sample["training.learning_rate"] for sample in grids["simpo"] or ()}
    assert sorted(rates) == [1e-6, pytest.approx(10**-5.5), 1e-5]


def test_a_setting_that_is_a_whole_number_is_searched_in_whole_numbers() -> None:
    ends = RangeSettings(low=8, high=64)
    ranges = {
        "training": {"batch_size": ends, "steps": ends, "warmup": RangeSettings(low=0, high=0.5)},
        "selection": {"seed": ends, "eta": RangeSettings(low=0.6, high=0.9)},
        "rounds": {"count": RangeSettings(low=1, high=4, log=True)},
    }
    space = joint_space(SearchSettings(methods=("dpo",), space=ranges))
    whole = Uniform(8, 64, whole=True)
    assert space["training"] == {"batch_size": whole, "steps": whole, "warmup": Uniform(0, 0.5)}
    assert space["selection"] == {"seed": whole, "eta": Uniform(0.6, 0.9)}
    assert space["rounds"] == {"count": LogUniform(1, 4, whole=True)}


def test_what_the_settings_leave_open_is_left_to_the_searcher_too() -> None:
    search = SearchSettings(methods=("dpo",), space={"training": {"steps": RangeSettings(low=10, high=40)}})
    assert published_samples(search.methods, joint_space(search), of_training()) == [{"method": "dpo", "dpo.beta": 0.1}]
    given = published_samples(search.methods, joint_space(search), of_training(steps=20))
    assert given == [{"method": "dpo", "dpo.beta": 0.1, "training.steps": 20}]


def test_replacing_a_range_leaves_the_methods_own_declaration_alone() -> None:
    before = dict(METHODS["dpo"].search_space)
    joint_space(SearchSettings(methods=("dpo",), space={"dpo": {"beta": RangeSettings(low=1, high=2)}}))
    assert METHODS["dpo"].search_space == before


@pytest.mark.parametrize("name", METHODS)
def test_published_defaults_lie_in_the_methods_own_search_space(name: str) -> None:
    defaults = METHODS[name]().hyperparameters()
    outside = {key for key, distribution in METHODS[name].search_space.items() if not distribution.contains(defaults[key])}
    assert outside == OUTSIDE.get(name, set())


def test_published_samples_are_the_defaults_of_what_is_searched() -> None:
    search = SearchSettings(methods=("dpo", "simpo"), space={"training": {"learning_rate": RangeSettings(low=1e-7, high=1e-5)}})
    dpo, simpo = published_samples(search.methods, joint_space(search), of_training(learning_rate=1e-6))
    assert dpo == {"method": "dpo", "dpo.beta": 0.1, "training.learning_rate": 1e-6}
    assert set(simpo) == {"method", "simpo.beta", "simpo.gamma_over_beta", "training.learning_rate"}


def test_a_default_outside_the_given_range_is_left_to_the_searcher() -> None:
    ranges = {
        "dpo": {"beta": RangeSettings(low=0.5, high=1.0), "label_smoothing": RangeSettings(options=(0.1, 0.2))},
        "training": {"learning_rate": RangeSettings(low=1e-4, high=1e-3)},
    }
    search = SearchSettings(methods=("dpo",), space=ranges)
    assert published_samples(search.methods, joint_space(search), of_training(learning_rate=1e-6)) == [{"method": "dpo"}]


def test_a_combination_is_searched_and_tried_under_its_joined_name_beside_its_parts() -> None:
    ranges = {"dpo+sft": {"sft_weight": RangeSettings(low=0.1, high=2)}}
    search = SearchSettings(methods=("dpo", "dpo+sft"), space=ranges)
    space = joint_space(search)
    assert space["dpo+sft"] == {"dpo_beta": METHODS["dpo"].search_space["beta"], "sft_weight": Uniform(0.1, 2)}
    assert space["dpo"] == METHODS["dpo"].search_space
    _, published = published_samples(search.methods, space, of_training())
    assert published == {"method": "dpo+sft", "dpo+sft.dpo_beta": 0.1, "dpo+sft.sft_weight": 1.0}
    trial = Trial.from_sample(3, published | {"dpo+sft.sft_weight": 0.5, "dpo.beta": 7.0})
    assert trial.objective() == method_named("dpo+sft")(dpo_beta=0.1, sft_weight=0.5)  # pyright: ignore[reportCallIssue]
    assert re.fullmatch(r"003-dpo\+sft-[0-9a-f]{4}", trial.id)


def test_a_method_of_ones_own_is_searched_under_its_full_name_and_its_trials_are_told_by_the_short_one(own: str) -> None:
    search = SearchSettings(methods=(own, "dpo"), space={own: {"label_smoothing": RangeSettings(options=(0.0, 0.1))}})
    space = joint_space(search)
    assert space[own] == {**METHODS["dpo"].search_space, "label_smoothing": Choice((0.0, 0.1))}
    published, _ = published_samples(search.methods, space, of_training())
    assert published == {"method": own, f"{own}.beta": 0.1, f"{own}.label_smoothing": 0.0}
    trial = Trial.from_sample(3, published | {f"{own}.beta": 0.2, "dpo.beta": 7.0, "training.learning_rate": 1e-6})
    assert (trial.method, trial.training) == (own, {"learning_rate": 1e-6})
    assert trial.objective() == method_named(own)(beta=0.2)  # pyright: ignore[reportCallIssue]
    assert re.fullmatch(r"003-my_po-[0-9a-f]{4}", trial.id)


def test_a_combination_with_a_method_of_ones_own_has_an_id_without_a_colon(own: str) -> None:
    trial = Trial.from_sample(3, {"method": f"{own}+sft", f"{own}+sft.my_po_beta": 0.2})
    assert trial.objective().hyperparameters()["my_po_beta"] == 0.2
    assert re.fullmatch(r"003-my_po\+sft-[0-9a-f]{4}", trial.id)


def test_a_run_that_takes_up_anothers_training_is_told_apart_by_its_generation_and_by_where_it_begins() -> None:
    origin = Origin("001-dpo-ab12", 60, 2)
    sample = SAMPLE | origin.as_sample()
    run = Trial.from_sample(7, sample)
    assert Origin.of(sample) == origin
    assert Origin.of(SAMPLE) is None
    assert run.id.startswith("007-dpo-")
    assert run.id.endswith("@2")
    assert (run.hyperparameters, run.training) == ({"beta": 0.1}, {"learning_rate": 1e-6})
    assert run.id != Trial.from_sample(7, SAMPLE | Origin("002-dpo-cd34", 60, 2).as_sample()).id


def test_a_trials_selection_and_rounds_are_its_own_and_are_told() -> None:
    sample = {"method": "dpo", "dpo.beta": 0.1, "selection.metric": "random", "selection.fraction": 0.5, "rounds.count": 2}
    trial = Trial.from_sample(1, sample)
    assert trial.described() == {"beta": 0.1, "selection.metric": "random", "selection.fraction": 0.5, "rounds.count": 2}
    assert trial_of({"trial": trial.id, **trial.as_event()}) == trial
    assert trial.selection_settings(SelectionSettings(seed=3)) == SelectionSettings(metric="random", fraction=0.5, seed=3)
    assert trial.rounds_settings(None) is None
    assert "selection" not in Trial.from_sample(1, {"method": "dpo", "dpo.beta": 0.1}).as_event()


def test_the_strictest_selections_of_a_search_are_known_before_it_begins() -> None:
    ranges = {"metric": {"options": ["all", "random"]}, "fraction": {"low": 0.2, "high": 0.9}}
    given = {"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}}
    settings = Settings.model_validate({**given, "search": {"space": {"selection": ranges}}})
    assert searched_selections(settings) == [SelectionSettings(fraction=0.2), SelectionSettings(metric="random", fraction=0.2)]
    assert searched_selections(Settings.model_validate(given)) == []

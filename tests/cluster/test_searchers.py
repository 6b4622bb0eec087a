"""Searchers propose each method's published setting first, learn only what was measured, and go on exactly where they were saved."""

import io
from collections import Counter
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from orchestrator.cluster.runs.search import _announce, search
from orchestrator.cluster.tune import searchers
from orchestrator.cluster.tune.searchers import MethodSearch, make_searcher
from orchestrator.errors import SettingsError
from orchestrator.report.narration import Narrator
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings

ALL = ["tpe", "cmaes", "random", "grid", "bohb", "nsga2"]
LEARNING = ["tpe", "cmaes", "bohb"]
METHODS = ("f_dpo", "simpo", "dpo")
RATES = {"training": {"learning_rate": {"low": 1e-7, "high": 1e-4, "log": True}}}
STEPS = 8


def settings(searcher: str = "tpe", methods: tuple[str, ...] = METHODS, **chosen: Any) -> Settings:
    """A search that asks for nothing but proposals; the learning rate is searched beside the methods' own ranges."""
    return Settings.model_validate(
        {
            "model": {"base": "model"},
            "data": {"train": "pairs.jsonl"},
            "evaluation": {"prompts": "prompts.jsonl"},
            "judge": {"kind": "verifier"},
            "training": {"learning_rate": 1e-6},
            "search": {"methods": methods, "searcher": searcher, "trials": 60, "space": RATES, **chosen},
        }
    )


def made(searcher: str = "tpe", **chosen: Any) -> MethodSearch:
    """The searcher of such a search."""
    return make_searcher(settings(searcher, **chosen))


def score(sample: dict[str, Any], step: int = STEPS) -> dict[str, Any]:
    """A result as Tune brings it: learning rates near 1e-5 win most, and an early checkpoint tells less."""
    win_rate = 60 - 10 * abs(log10(sample["training.learning_rate"]) + 5) - (STEPS - step)
    return {
        "win_rate": win_rate,
        "mean_length": 100 * win_rate,
        "step": step,
        "whole": True,
        "checkpoint": step,
        "checkpoints": STEPS,
        "training_iteration": step,
    }


def finish(searcher: Searcher, trial: str, sample: dict[str, Any]) -> None:
    """A trial that is trained to its end. As Tune does, the last result comes with the end only."""
    searcher.on_trial_result(trial, score(sample, STEPS // 2))
    searcher.on_trial_complete(trial, score(sample))


def proposals(searcher: Searcher, trials: range) -> list[dict[str, Any]]:
    """What is proposed for trials that all finish, one after the other."""
    samples = []
    for number in trials:
        samples.append(searcher.suggest(f"trial {number}"))
        finish(searcher, f"trial {number}", samples[-1])
    return samples


def told(searcher: MethodSearch, method: str) -> list[FrozenTrial]:
    """What Optuna knows of a method's trials."""
    inner: Any = searcher._inner[method]
    return inner._ot_study.trials


@pytest.mark.parametrize("name", ALL)
def test_the_first_trial_of_each_method_is_its_published_setting(name: str) -> None:
    samples = proposals(made(name), range(3))
    assert samples[0] == {
        "number": 1,
        "method": "f_dpo",
        "f_dpo.beta": 0.1,
        "f_dpo.divergence": "js",
        "training.learning_rate": pytest.approx(1e-6),
    }
    assert samples[1]["simpo.beta"] == pytest.approx(2.0)
    assert samples[2] == {"number": 3, "method": "dpo", "dpo.beta": pytest.approx(0.1), "training.learning_rate": pytest.approx(1e-6)}


@pytest.mark.parametrize("name", ALL)
def test_every_proposal_is_a_trial_of_its_method_within_the_ranges(name: str) -> None:
    for sample in proposals(made(name), range(45)):
        trial = Trial.from_sample(sample.pop("number"), sample)
        trial.objective()
        assert set(trial.training) == {"learning_rate"}
        assert 1e-7 <= trial.training["learning_rate"] <= 1e-4
        assert {type(value) for value in trial.described().values()} <= {float, str}


@pytest.mark.parametrize("name", ALL)
def test_settings_that_are_whole_numbers_are_proposed_as_such(name: str) -> None:
    whole = {"batch_size": {"low": 8, "high": 32}, "micro_batch_tokens": {"low": 256, "high": 8192, "log": True}}
    given = settings(name, methods=("sft",), space={"training": RATES["training"] | whole}, grid_points=4)
    samples = proposals(make_searcher(given), range(16))
    trials = [Trial.from_sample(sample.pop("number"), sample) for sample in samples]
    for trial in trials:
        training = trial.training_settings(given.training)
        assert (8 <= training.batch_size <= 32, 256 <= training.micro_batch_tokens <= 8192) == (True, True)
        assert {key: type(value) for key, value in trial.training.items()} == {"learning_rate": float, **dict.fromkeys(whole, int)}
    assert len({trial.training["batch_size"] for trial in trials if trial.method == "sft"}) > 1
    assert trials[0].training["micro_batch_tokens"] == given.training.micro_batch_tokens, "the settings' own come first"


@pytest.mark.parametrize("name", ALL)
def test_every_method_gets_as_many_trials_and_numbers_run_over_all_of_them(name: str) -> None:
    samples = proposals(made(name), range(15))
    assert Counter(sample["method"] for sample in samples) == dict.fromkeys(METHODS, 5)
    assert [sample["number"] for sample in samples] == list(range(1, 16))


def test_plain_dpo_is_searched_like_the_others_when_it_is_not_named() -> None:
    assert Counter(sample["method"] for sample in proposals(made(methods=("simpo",)), range(8))) == {"simpo": 4, "dpo": 4}


def test_a_bandit_gives_more_trials_to_the_method_that_wins() -> None:
    searcher = made("random", allocation="bandit")
    counts: Counter[str] = Counter()
    for number in range(40):
        sample = searcher.suggest(str(number))
        counts[sample["method"]] += 1
        searcher.on_trial_complete(str(number), score(sample) | {"win_rate": {"simpo": 70, "dpo": 55, "f_dpo": 40}[sample["method"]]})
    assert counts["simpo"] > counts["dpo"] > counts["f_dpo"] >= 2


def test_methods_draw_apart_and_do_not_depend_on_which_others_there_are() -> None:
    both = proposals(made("random", methods=("ipo", "dpo")), range(20))
    alone = proposals(made("random", methods=("dpo",)), range(10))
    rates = {method: [sample["training.learning_rate"] for sample in both if sample["method"] == method] for method in ("ipo", "dpo")}
    assert rates["dpo"] == [sample["training.learning_rate"] for sample in alone]
    assert set(rates["dpo"][1:]).isdisjoint(rates["ipo"][1:])


@pytest.mark.parametrize("name", LEARNING)
def test_a_searcher_that_learns_comes_nearer_to_what_wins_than_random(name: str) -> None:
    def distance(searcher: str) -> float:
        runs = [proposals(made(searcher, methods=("dpo",), trials=40, seed=seed), range(40)) for seed in range(3)]
        return float(np.mean([abs(log10(sample["training.learning_rate"]) + 5) for run in runs for sample in run[25:]]))

    assert distance(name) < 0.75 * distance("random")


@pytest.mark.parametrize("name", ALL)
def test_a_search_that_is_saved_and_restored_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    methods = ("simpo", "dpo")
    whole = proposals(made(name, methods=methods), range(32))
    first = made(name, methods=methods)
    samples = proposals(first, range(21))
    running = first.suggest("trial 21")
    first.on_trial_result("trial 21", score(running, STEPS // 2))
    first.save(str(tmp_path / "state"))
    np.random.seed(99)
    again = made(name, methods=methods, seed=5)
    again.restore(str(tmp_path / "state"))
    again.on_trial_complete("trial 21", score(running))
    assert [*samples, running, *proposals(again, range(22, 32))] == whole


def test_bohb_leaves_numpys_global_generator_alone() -> None:
    np.random.seed(3)
    wanted = np.random.rand()
    np.random.seed(3)
    proposals(made("bohb", methods=("dpo",)), range(20))
    assert np.random.rand() == wanted


def test_a_finished_trial_is_told_with_its_last_score() -> None:
    searcher = made()
    sample = proposals(searcher, range(1))[0]
    (trial,) = told(searcher, "f_dpo")
    assert (trial.state, trial.value) == (TrialState.COMPLETE, score(sample)["win_rate"])


def test_intermediate_scores_reach_the_searcher_of_their_method_and_no_other() -> None:
    searcher = made()
    samples = {trial: searcher.suggest(trial) for trial in ("a", "b", "c")}
    searcher.on_trial_result("b", score(samples["b"], 2))
    searcher.on_trial_result("c", score(samples["c"], 4))
    known = {method: told(searcher, method)[0].intermediate_values for method in METHODS}
    assert known == {"f_dpo": {}, "simpo": {2: score(samples["b"], 2)["win_rate"]}, "dpo": {4: score(samples["c"], 4)["win_rate"]}}


@pytest.mark.parametrize("name", ["tpe", "cmaes", "random"])
def test_a_trial_that_was_stopped_early_is_told_as_pruned_with_the_score_it_was_stopped_at(name: str) -> None:
    searcher = made(name)
    sample = searcher.suggest("a")
    searcher.on_trial_complete("a", score(sample, 2))
    (trial,) = told(searcher, "f_dpo")
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {2: score(sample, 2)["win_rate"]})


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
@pytest.mark.parametrize("result", [None, {}, {"done": True}])
def test_a_trial_without_a_score_is_told_as_pruned_or_failed_and_never_as_zero(name: str, result: dict[str, Any] | None) -> None:
    for error, state in ((False, TrialState.PRUNED), (True, TrialState.FAIL)):
        searcher = made(name)
        searcher.suggest("a")
        searcher.on_trial_complete("a", result, error)
        (trial,) = told(searcher, "f_dpo")
        assert (trial.state, trial.values) == (state, None)
        assert searcher._arms["f_dpo"].best is None


def test_nsga2_is_told_both_goals_at_the_end_and_neither_of_a_trial_that_was_stopped() -> None:
    searcher = made("nsga2")
    finished, stopped = searcher.suggest("a"), searcher.suggest("b")
    finish(searcher, "a", finished)
    searcher.on_trial_complete("b", score(stopped, 2))
    (complete,), (pruned,) = told(searcher, "f_dpo"), told(searcher, "simpo")
    assert (complete.state, complete.values) == (TrialState.COMPLETE, [score(finished)["win_rate"], score(finished)["mean_length"]])
    assert (pruned.state, pruned.values) == (TrialState.PRUNED, None)


def test_nsga2_keeps_short_winners_and_drops_long_losers() -> None:
    """Children come from the better half: here a high learning rate wins more and answers shorter."""
    searcher = made("nsga2", methods=("dpo",), trials=80)
    rates = []
    for number in range(80):
        sample = searcher.suggest(str(number))
        rates.append(log10(sample["training.learning_rate"]))
        wins = 50 + 5 * rates[-1]
        searcher.on_trial_complete(str(number), score(sample) | {"win_rate": wins, "mean_length": -wins})
    assert np.mean(rates[-20:]) > np.mean(rates[:10]) + 0.5


def test_bohb_learns_from_every_checkpoint_without_a_scheduler_of_its_own() -> None:
    searcher: Any = made("bohb", methods=("dpo",))
    proposals(searcher, range(20))
    assert {step: len(losses) for step, losses in searcher._inner["dpo"].bohber.losses.items()}[STEPS] == 20
    assert STEPS in searcher._inner["dpo"].bohber.kde_models


def test_a_trial_that_is_followed_again_tells_each_step_once() -> None:
    searcher: Any = made("bohb", methods=("dpo",))
    sample = searcher.suggest("a")
    for step in (2, 4, 2, 4, 6):
        searcher.on_trial_result("a", score(sample, step))
    assert {step: len(losses) for step, losses in searcher._inner["dpo"].bohber.losses.items()} == {2: 1, 4: 1, 6: 1}


def test_a_trial_that_the_restored_state_does_not_know_changes_nothing() -> None:
    searcher = made()
    searcher.on_trial_result("unknown", score({"training.learning_rate": 1e-6}))
    searcher.on_trial_complete("unknown", score({"training.learning_rate": 1e-6}))
    assert all(arm.trials == 0 and arm.best is None for arm in searcher._arms.values())


@pytest.mark.parametrize("allocation", ["equal", "bandit"])
def test_a_method_whose_grid_is_used_up_gives_way_and_the_search_ends_with_the_last_grid(allocation: str) -> None:
    searcher = made("grid", methods=("sft", "dpo"), grid_points=2, allocation=allocation)
    samples = proposals(searcher, range(8))
    assert Counter(sample["method"] for sample in samples) == {"sft": 3, "dpo": 5}
    assert searcher.suggest("one more") == Searcher.FINISHED
    assert len({tuple(sorted(sample.items())) for sample in ({**sample, "number": 0} for sample in samples)}) == 8


def test_a_method_without_any_range_is_tried_once() -> None:
    searcher = made("tpe", methods=("sft", "dpo"), space={})
    methods = []
    for number in range(5):
        sample = searcher.suggest(str(number))
        methods.append(sample["method"])
        searcher.on_trial_complete(str(number), score({"training.learning_rate": 1e-6}))
    assert methods == ["sft", "dpo", "dpo", "dpo", "dpo"]


@pytest.mark.parametrize("name", ["cmaes", "bohb"])
def test_a_searcher_whose_package_is_missing_is_refused_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchers, "find_spec", lambda package: None)
    with pytest.raises(SettingsError, match=f"the searcher '{name}' needs ") as refused:
        search(settings(name), tmp_path / "run")
    assert refused.value.where == "search.searcher"
    assert "pip install 'daa-orchestrator[search]'" in refused.value.cure
    assert not (tmp_path / "run").exists()


def test_a_scheduler_whose_package_is_missing_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchers, "find_spec", lambda package: None)
    with pytest.raises(SettingsError, match="the scheduler 'pb2' needs scikit-learn") as refused:
        search(settings(scheduler="pb2"), tmp_path / "run")
    assert refused.value.where == "search.scheduler"
    assert "pip install 'daa-orchestrator[search]'" in refused.value.cure
    assert not (tmp_path / "run").exists()


def test_what_a_population_changed_is_not_told_as_what_was_proposed() -> None:
    searcher: Any = made("bohb", methods=("dpo",))
    sample = searcher.suggest("a")
    searcher.on_trial_result("a", score(sample, 2))
    searcher.on_trial_result("a", score(sample, 4) | {"generation": 2})
    searcher.on_trial_complete("a", score(sample, STEPS) | {"generation": 2})
    assert {step: len(losses) for step, losses in searcher._inner["dpo"].bohber.losses.items()} == {2: 1}


@pytest.mark.parametrize(
    ("chosen", "line"),
    [
        ({"trials": 8}, "trials for each method: 3 for f_dpo, simpo; 2 for dpo"),
        ({"trials": 9}, None),
        ({"trials": 8, "allocation": "bandit"}, None),
        ({"trials": 99, "searcher": "grid", "grid_points": 1}, "8 of the 99 trials use up all that there is to try"),
    ],
)
def test_the_screen_names_the_methods_and_how_unequal_trials_are_shared_out(chosen: dict[str, Any], line: str | None) -> None:
    screen = io.StringIO()
    _announce(settings(**chosen), Narrator(screen))
    first, *others = screen.getvalue().splitlines()
    assert "trials over f_dpo, simpo, dpo" in first
    assert len(others) == (line is not None)
    assert line is None or line in others[0]

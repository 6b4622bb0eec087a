"""Tune's side of pauses: hyperband leaves nobody waiting, and populations keep to their method, their ranges and what can be taken up."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from orchestrator.cluster.tune import populations
from orchestrator.cluster.tune.following import trial_in
from orchestrator.cluster.tune.populations import PopulationScheduler, changed_ranges, make_populations
from orchestrator.cluster.tune.schedulers import PausingHyperBand
from orchestrator.distributions import Uniform
from orchestrator.search.ledger import line_of
from orchestrator.search.trial import Origin
from orchestrator.settings import SearchSettings

RATE = "training.learning_rate"
RATES = {"low": 1e-7, "high": 1e-6, "log": True}
NUMBERS = count(1)
CHECKPOINTS = 4
# Of a search whose ledger has nothing yet.
NOWHERE = Path("no-ledger.jsonl")


class Follower:
    """A trial as Tune has it."""

    def __init__(self, method: str, **config: Any) -> None:
        number = next(NUMBERS)
        self.trial_id, self.status, self.is_saving, self.experiment_tag = f"t{number}", "RUNNING", False, ""
        self.checkpoint, self.evaluated_params = None, dict[str, Any]()
        self.config = {"number": number, "method": method, RATE: 1e-6, **config}
        self.run_metadata = SimpleNamespace(
            checkpoint_manager=SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=None), _latest_checkpoint_result=None)
        )

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Tune exchanges the hyperparameters."""
        self.config = dict(config)

    def set_experiment_tag(self, tag: str) -> None:
        """Of no use here."""

    def is_finished(self) -> bool:
        """Whether Tune is done with it."""
        return self.status == "TERMINATED"


class Controller:
    """What schedulers ask of Tune."""

    def __init__(self, scheduler: Any, trials: list[Follower]) -> None:
        self.scheduler, self.trials = scheduler, trials
        for trial in trials:
            scheduler.on_trial_add(self, trial)

    def get_trials(self) -> list[Any]:
        return self.trials

    def pause_trial(self, trial: Any, should_checkpoint: bool = True) -> None:
        trial.status = "PAUSED"

    def stop_trial(self, trial: Any) -> None:
        trial.status = "TERMINATED"
        self.scheduler.on_trial_remove(self, trial)

    def _schedule_trial_save(self, trial: Any, result: Any = None) -> Any:
        return SimpleNamespace(of=trial)

    def report(self, trial: Any, checkpoint: int, win_rate: float) -> str:
        """A score comes in, and what the scheduler decides is done."""
        trial.status = "RUNNING"
        result = {"checkpoint": checkpoint, "checkpoints": CHECKPOINTS, "step": 10 * checkpoint, "win_rate": win_rate}
        result["run"] = trial_in(trial.config).id
        decision = self.scheduler.on_trial_result(self, trial, result)
        trial.checkpoint = SimpleNamespace(of=trial)
        if decision == TrialScheduler.PAUSE:
            trial.status = "PAUSED"
        return decision


def settings(**search: Any) -> SearchSettings:
    """A search over two methods and a learning rate."""
    return SearchSettings.model_validate({"methods": ("dpo", "simpo"), "space": {"training": {"learning_rate": RATES}}, **search})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the hub hears, and answers."""
    told = SimpleNamespace(heard=[], answer=True)

    def ask(method: Any, *arguments: Any) -> bool:
        told.heard.append(arguments)
        return told.answer

    monkeypatch.setattr(populations, "find_actor", lambda name: SimpleNamespace(take_over=name))
    monkeypatch.setattr(populations, "ask", ask)
    return told


def a_population(scheduler: str, ledger: Path = NOWHERE) -> tuple[Controller, list[Follower], list[Follower]]:
    """Four trials of each of two methods, all under way."""
    dpo = [Follower("dpo", **{"dpo.beta": 0.1}) for _ in range(4)]
    simpo = [Follower("simpo", **{"simpo.beta": 2.5, "simpo.gamma_over_beta": 0.5}) for _ in range(4)]
    return Controller(make_populations(settings(scheduler=scheduler), "hub", ledger), [*dpo, *simpo]), dpo, simpo


@pytest.mark.parametrize("scheduler", ["pbt", "pb2"])
def test_the_weak_of_a_method_go_on_from_its_strong_and_never_from_those_of_another(scheduler: str, hub: Any) -> None:
    controller, dpo, simpo = a_population(scheduler)
    for checkpoint in (1, 2, 3):
        for trial in simpo:
            controller.report(trial, checkpoint, 90.0)
        for trial, win_rate in zip(dpo[::-1], (60.0, 55.0, 50.0, 40.0), strict=True):
            controller.report(trial, checkpoint, win_rate + checkpoint)
    mine = [(run, origin, before) for run, origin, before in hub.heard if run.method == "dpo"]
    assert len(mine) >= 2
    assert all("-dpo-" in origin.trial and "-dpo-" in before for _, origin, before in mine)
    assert all(RATES["low"] <= run.training["learning_rate"] <= RATES["high"] for run, _, _ in mine)
    best, worst = dpo[3], dpo[0]
    assert mine[-1][1].trial.startswith(f"{best.config['number']:03d}-")
    assert mine[-1][1].step == 30
    assert Origin.of(worst.config) == mine[-1][1]
    assert mine[-1][0].id.startswith(f"{worst.config['number']:03d}-dpo-")
    assert worst.status == "PAUSED"


def test_a_trial_that_takes_over_again_is_of_the_next_generation(hub: Any) -> None:
    controller, dpo, _ = a_population("pbt")
    for checkpoint in (1, 2):
        for trial, win_rate in zip(dpo[::-1], (60.0, 55.0, 50.0, 40.0), strict=True):
            controller.report(trial, checkpoint, win_rate)
    generations = [origin.generation for run, origin, _ in hub.heard if run.id.startswith(f"{dpo[0].config['number']:03d}-")]
    assert generations == [2, 3]


def test_where_the_other_training_is_gone_a_trial_goes_on_as_it_is(hub: Any) -> None:
    hub.answer = False
    controller, dpo, _ = a_population("pbt")
    before = dict(dpo[0].config)
    for trial, win_rate in zip(dpo[::-1], (60.0, 55.0, 50.0, 40.0), strict=True):
        assert controller.report(trial, 1, win_rate) == TrialScheduler.CONTINUE
    assert hub.heard
    assert (dpo[0].config, dpo[0].status) == (before, "RUNNING")


def test_after_the_last_checkpoint_nobody_takes_over_anything(hub: Any) -> None:
    controller, dpo, _ = a_population("pbt")
    for trial, win_rate in zip(dpo[::-1], (60.0, 55.0, 50.0, 40.0), strict=True):
        assert controller.report(trial, CHECKPOINTS, win_rate) == TrialScheduler.CONTINUE
    assert hub.heard == []


@pytest.mark.parametrize("scheduler", ["pbt", "pb2"])
def test_a_resumed_population_decides_nothing_of_scores_that_it_is_told_again(scheduler: str, hub: Any, tmp_path: Path) -> None:
    dpo, ledger = [Follower("dpo", **{"dpo.beta": 0.1}) for _ in range(4)], tmp_path / "ledger.jsonl"
    scored = [line_of("score", {"trial": trial_in(trial.config).id, "step": 10}) for trial in dpo]
    ledger.write_bytes(b"".join([line_of("begin", {}), *scored, line_of("begin", {})]))
    controller = Controller(make_populations(settings(scheduler=scheduler), "hub", ledger), list(dpo))
    # The best is told first: everybody after it is behind those that were told.
    for trial, win_rate in zip(dpo, (60.0, 55.0, 50.0, 40.0), strict=True):
        controller.report(trial, 1, win_rate)
    assert hub.heard == []
    controller.report(dpo[0], 2, 61.0)
    controller.report(dpo[3], 2, 41.0)
    ((run, origin, _),) = hub.heard
    assert run.id.startswith(f"{dpo[3].config['number']:03d}-")
    assert (origin.trial, origin.step) == (trial_in(dpo[0].config).id, 20)


def test_of_those_that_wait_the_one_that_trained_least_is_followed_next(hub: Any) -> None:
    controller, dpo, simpo = a_population("pbt")
    simpo[3].status = "PENDING"
    controller.report(dpo[0], 1, 50.0)
    assert dpo[0].status == "PAUSED", "somebody else waits for its place"
    assert controller.scheduler.choose_trial_to_run(controller) is simpo[3]
    simpo[3].status = "RUNNING"
    assert controller.scheduler.choose_trial_to_run(controller) is dpo[0]


def test_a_method_with_nothing_to_change_has_no_population_and_trains_on(hub: Any) -> None:
    scheduler = make_populations(settings(scheduler="pbt", methods=("sft",), space={}), "hub", NOWHERE)
    assert isinstance(scheduler, PopulationScheduler)
    controller = Controller(scheduler, [Follower("sft"), Follower("sft")])
    assert [controller.report(trial, 1, 10.0) for trial in controller.trials] == [TrialScheduler.CONTINUE] * 2


def test_options_and_what_the_optimiser_keeps_are_not_changed() -> None:
    space = {"training": {"learning_rate": RATES, "weight_decay": {"low": 0.0, "high": 0.1}}, "dpo": {"beta": {"options": [0.1, 0.2]}}}
    assert set(changed_ranges(settings(space=space), "dpo")) == {RATE}
    assert set(changed_ranges(settings(), "simpo")) == {RATE, "simpo.beta", "simpo.gamma_over_beta"}
    own = {"simpo": {"learning_rate": {"low": 1e-6, "high": 1e-5}, "weight_decay": {"low": 0.01, "high": 0.1}}}
    assert changed_ranges(settings(space=own), "simpo")[RATE] == Uniform(1e-6, 1e-5)
    assert set(changed_ranges(settings(space=own), "simpo")) == {RATE, "simpo.beta", "simpo.gamma_over_beta"}


def test_a_bracket_that_waits_for_a_trial_which_ends_otherwise_goes_on_without_it() -> None:
    scheduler: Any = PausingHyperBand("checkpoint", "win_rate", "max", max_t=4, reduction_factor=2, stop_last_trials=False)
    controller = Controller(scheduler, [Follower("dpo") for _ in range(10)])
    *_, a, b, c, d = controller.trials
    for trial in controller.trials[:6]:
        trial.status = "TERMINATED"
    for trial, win_rate in zip((a, b, c, d), (40.0, 50.0, 60.0, 70.0), strict=True):
        controller.report(trial, 1, win_rate)
    assert [trial.status for trial in (a, b, c, d)] == ["TERMINATED", "TERMINATED", "PAUSED", "RUNNING"]
    assert scheduler.choose_trial_to_run(controller) is c
    assert controller.report(c, 2, 60.0) == TrialScheduler.PAUSE
    assert scheduler.choose_trial_to_run(controller) is None
    d.status = "TERMINATED"
    scheduler.on_trial_complete(controller, d, {})
    assert scheduler.choose_trial_to_run(controller) is c
    assert [controller.report(c, checkpoint, 60.0) for checkpoint in (3, 4)] == [TrialScheduler.CONTINUE] * 2


def test_trials_of_a_restored_bracket_that_are_beyond_its_next_halving_are_halved_again_and_the_best_goes_on() -> None:
    scheduler: Any = PausingHyperBand("checkpoint", "win_rate", "max", max_t=4, reduction_factor=2, stop_last_trials=False)
    controller = Controller(scheduler, [Follower("dpo") for _ in range(10)])
    for trial in controller.trials[:6]:
        trial.status = "TERMINATED"
    a, b, c, d = controller.trials[6:]
    rates = {a: 40.0, b: 70.0, c: 60.0, d: 50.0}
    *_, last = [controller.report(trial, 2, win_rate) for trial, win_rate in rates.items()]
    assert (last, [trial.status for trial in (a, b, c)]) == (TrialScheduler.STOP, ["TERMINATED", "PAUSED", "TERMINATED"])
    assert scheduler.choose_trial_to_run(controller) is b


def test_a_restored_search_waits_for_no_trial_that_is_finished() -> None:
    scheduler: Any = PausingHyperBand("checkpoint", "win_rate", "max", max_t=2, reduction_factor=2, stop_last_trials=False)
    finished, *unfinished = [Follower("dpo") for _ in range(4)]
    controller = Controller(scheduler, unfinished[:2])
    finished.status = "TERMINATED"
    scheduler.on_trial_add(controller, finished)
    scheduler.on_trial_add(controller, unfinished[2])
    assert controller.report(unfinished[2], 1, 50.0) == TrialScheduler.CONTINUE

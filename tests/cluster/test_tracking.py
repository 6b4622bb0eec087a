"""Scores reach those who watch them, and no tracker ever stops a search."""

import itertools
import json
import os
import pickle
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import ray
from ray import tune
from ray.cloudpickle.cloudpickle import dumps
from ray.tune.logger import LoggerCallback

from orchestrator.cluster.tune.tracking import Tracking, check_trackers, figures, label, make_trackers, steps_between
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from tests.full_disk import no_file_longer_than

SAMPLES = [
    {"method": "simpo", "simpo.beta": 2.5, "training.learning_rate": 1e-4, "number": 1},
    {"method": "dpo", "dpo.beta": 0.1, "training.learning_rate": 2e-4, "number": 2},
]
SCORES = [(10, 55.0), (20, 62.5)]
RUN = "001-simpo-abcd"
LOSSES = [(step, 1 / step) for step in range(1, 21)]


def score(checkpoint: int, step: int, rate: float) -> dict[str, Any]:
    """What a trial's follower reports of a checkpoint."""
    where = {"step": step, "checkpoint": checkpoint, "checkpoints": 2, "prompts": 42, "whole": True, "run": RUN}
    rates = {"win_rate": rate, "low": rate - 5, "high": rate + 5, "mean_length": 80.0}
    return {**rates, **where, "health": "healthy", "verdicts": [1.0] * 42}


def reports(sample: dict[str, Any]) -> None:
    """A trial of two checkpoints."""
    for checkpoint, (step, rate) in enumerate(SCORES, 1):
        tune.report(score(checkpoint, step, rate))


class Followed:
    """A trial as trackers see it in Tune."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.trial_id, self.last_result = config, str(config["number"]), {}

    def __str__(self) -> str:
        return label(self)


def write_records(directory: Path, steps: int = 20) -> None:
    """What the trainer of a run below `directory` writes."""
    run = directory / "checkpoints" / RUN
    run.mkdir(parents=True)
    figures = {"accuracy": 0.75, "gradient_norm": 2.0, "chosen_logp": None, "state": {}}
    lines = [json.dumps({"step": step, "loss": 1 / step, **figures}) for step in range(1, steps + 1)]
    (run / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))


def play(tracking: Tracking) -> None:
    """Two trials beside each other, as Tune tells of them."""
    trials = [Followed(sample) for sample in SAMPLES]
    tracking.setup()
    for trial in trials:
        tracking.on_trial_start(0, trials, trial)
    for number, (step, rate) in enumerate(SCORES, 1):
        for trial in trials:
            tracking.on_trial_result(0, trials, trial, score(number, step, rate))
    for trial in trials:
        tracking.on_trial_complete(0, trials, trial)
    tracking.on_experiment_end(trials)


def settings_with(*trackers: str) -> Settings:
    """A search called `mine` with these trackers."""
    given = {"name": "mine", "world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, "search": {"trackers": trackers}}
    return Settings.model_validate(given)


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    """A small Ray."""
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0", "WANDB_MODE": "offline"}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def search(directory: Path, tracking: Tracking) -> Any:
    """Tune's part of a search, with two trials."""
    return tune.Tuner(
        tune.with_resources(reports, {"CPU": 0.1}),
        param_space=tune.grid_search(SAMPLES),
        tune_config=tune.TuneConfig(trial_name_creator=label),
        run_config=tune.RunConfig(name="tune", storage_path=str(directory), callbacks=[tracking], verbose=0),
    ).fit()


def test_only_figures_that_people_watch_are_told_and_an_unknown_health_is_no_bad_one() -> None:
    score = {"win_rate": 50.0, "low": 45.0, "high": 55.0, "mean_length": 8.0, "prompts": 42, "checkpoint": 1, "step": 10}
    told = figures({**score, "verdicts": [1.0], "health": "", "config": {}})
    assert told == {**score, "training_iteration": 10, "timesteps_total": 10}
    assert figures({**score, "health": "drifting"})["healthy"] == 0.0


def test_a_tracker_that_is_not_installed_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.cluster.tune.tracking.find_spec", lambda name: None)
    with pytest.raises(SettingsError) as refused:
        check_trackers(["mlflow", "trackio"])
    assert "mlflow and trackio" in refused.value.what
    assert "daa-orchestrator[tracking]" in refused.value.cure
    check_trackers([])


def test_tensorboard_has_each_trial_under_its_own_name_by_training_step(tmp_path: Path) -> None:
    play(make_trackers(settings_with(), tmp_path))
    directories = sorted((tmp_path / "tensorboard").iterdir())
    assert [each.name.rpartition("-")[0] for each in directories] == ["001-simpo", "002-dpo"]
    for directory in directories:
        assert scalars(directory)["win_rate"] == SCORES
        assert scalars(directory)["low"] == [(step, rate - 5) for step, rate in SCORES]


def test_tensorboard_has_each_step_of_a_training_by_trls_names_once(tmp_path: Path) -> None:
    write_records(tmp_path)
    play(make_trackers(settings_with(), tmp_path))
    told = scalars(next((tmp_path / "tensorboard").iterdir()))
    assert [step for step, _ in told["loss"]] == list(range(1, 21))
    assert told["loss"][-1][1] == pytest.approx(0.05)
    assert told["rewards/accuracies"] == [(step, 0.75) for step in range(1, 21)]
    assert told["grad_norm"][0] == (1, 2.0) and "logps/chosen" not in told
    assert told["win_rate"] == SCORES


def test_a_resumed_search_tells_the_steps_after_the_last_score_and_of_many_steps_some(tmp_path: Path) -> None:
    write_records(tmp_path, 1000)
    run = tmp_path / "checkpoints" / RUN
    assert list(steps_between(run, 10, 13)) == [11, 12, 13]
    some = list(steps_between(run, 0, 990))
    assert len(some) <= 80 and some[-1] == 990 and len({after - before for before, after in itertools.pairwise(some)}) == 1
    tracking, trial = make_trackers(settings_with(), tmp_path), Followed(SAMPLES[0])
    trial.last_result = {"step": 10}
    tracking.on_trial_start(0, [trial], trial)
    tracking.on_trial_result(0, [trial], trial, score(2, 20, 60.0))
    assert [step for step, _ in scalars(next((tmp_path / "tensorboard").iterdir()))["loss"]] == list(range(11, 21))


def test_records_that_cannot_be_read_leave_the_scores(tmp_path: Path) -> None:
    write_records(tmp_path)
    (tmp_path / "checkpoints" / RUN / "metrics.jsonl").write_text("no json\n")
    play(make_trackers(settings_with(), tmp_path))
    assert scalars(next((tmp_path / "tensorboard").iterdir()))["win_rate"] == SCORES


def test_a_full_disk_ends_tensorboard_and_never_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path)
    tracking = make_trackers(settings_with(), tmp_path)
    with no_file_longer_than(1500):
        play(tracking)
    assert capsys.readouterr().out.count("tensorboard is told nothing more") == 1


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """The numbers in a directory's event files, by name."""
    event_type = import_module("tensorboardX.proto.event_pb2").Event
    found: dict[str, list[tuple[int, float]]] = {}
    for file in directory.iterdir():
        content, place = file.read_bytes(), 0
        while place < len(content):
            length = int.from_bytes(content[place : place + 8], "little")
            event = event_type.FromString(content[place + 12 : place + 12 + length])
            place += 16 + length
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


class Broken(LoggerCallback):
    """A tracker whose server went away."""

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Fail as a network does."""
        raise ConnectionError("the server https://me:canary@host is gone")


def test_a_tracker_that_fails_is_told_nothing_more_and_the_others_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = make_trackers(settings_with(), tmp_path)
    tracking._trackers = {"broken": Broken(), **tracking._trackers}
    play(tracking)
    told = capsys.readouterr().out
    assert told.count("broken is told nothing more") == 1 and "canary" not in told
    assert "is gone" in told
    assert all(scalars(directory)["win_rate"] == SCORES for directory in (tmp_path / "tensorboard").iterdir())


@pytest.mark.cluster
def test_tune_tells_trackers_of_its_trials(running: None, tmp_path: Path) -> None:
    grid = search(tmp_path, make_trackers(settings_with(), tmp_path))
    assert not grid.errors
    assert [scalars(directory)["win_rate"] for directory in (tmp_path / "tensorboard").iterdir()] == [SCORES, SCORES]


def test_mlflow_has_a_run_for_each_trial_with_its_hyperparameters(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    write_records(tmp_path)
    play(make_trackers(settings_with("mlflow"), tmp_path))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert {run.data.params["method"] for run in runs} == {"simpo", "dpo"}
    for run in runs:
        assert [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, "win_rate")] == SCORES
        assert [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, "loss")] == LOSSES


@pytest.mark.parametrize("server", ["https://me:canary@host", ""])
def test_mlflows_password_is_not_in_what_tune_writes_down_and_reaches_mlflow(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    mlflow = ModuleType("mlflow")
    vars(mlflow).update(set_tracking_uri=used.append, set_registry_uri=lambda uri: None, get_experiment_by_name=MagicMock())
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    tracking = make_trackers(settings_with("mlflow"), tmp_path)
    assert b"canary" not in dumps(tracking)
    tracking.setup()
    assert used == [server or f"sqlite:///{tmp_path}/mlflow.db"]


@pytest.mark.cluster
def test_wandb_writes_its_runs_offline_beside_the_search(running: None, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    search(tmp_path, make_trackers(settings_with("wandb"), tmp_path))
    assert len(list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))) == 2


class Shown:
    """What Ray keeps and shows of actors: options and arguments. Objects are fetched from whom they belong to."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self._objects: list[Any] = []

    def remote(self, **options: Any) -> Any:
        """As ray.remote: the actor's constructor runs here, without the environment of this process."""

        def start(plain: type, arguments: dict[str, Any]) -> Any:
            self.started.append(pickle.dumps((options, arguments)))
            del os.environ["WANDB_API_KEY"]
            plain(**arguments)
            return SimpleNamespace(run=SimpleNamespace(remote=lambda: "running"))

        return lambda plain: SimpleNamespace(remote=lambda **arguments: start(plain, arguments))

    def is_initialized(self) -> bool:
        return False

    def put(self, value: Any) -> int:
        self._objects.append(value)
        return len(self._objects) - 1

    def get(self, references: list[int]) -> list[Any]:
        return [self._objects[reference] for reference in references]


def test_wandbs_key_reaches_what_sends_scores_and_nothing_that_ray_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown()
    for module in map(import_module, ("ray.air.integrations.wandb", "orchestrator.cluster.tune.wandb_runs")):
        monkeypatch.setattr(module, "ray", shown)
        monkeypatch.setattr(module, "_force_on_current_node", dict)
    monkeypatch.setattr("ray.air.integrations.wandb.wandb", SimpleNamespace())
    monkeypatch.setattr("ray.air.integrations.wandb.Queue", lambda **_: "queue")
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace())
    monkeypatch.setenv("WANDB_API_KEY", "canary")
    monkeypatch.chdir(tmp_path)
    tracker: Any = make_trackers(settings_with("wandb"), tmp_path)._trackers["wandb"]
    trial: Any = Followed(SAMPLES[0])
    trial.local_path = str(tmp_path)
    tracker._start_logging_actor(trial, [], id="1")
    assert len(shown.started) == 1
    assert b"canary" not in shown.started[0]
    assert os.environ["WANDB_API_KEY"] == "canary"


def test_trackio_has_a_run_for_each_trial_by_training_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    write_records(tmp_path)
    play(make_trackers(settings_with("trackio"), tmp_path))
    import sqlite3

    (file,) = (tmp_path / "trackio").glob("mine*.db")
    rows = sqlite3.connect(file).execute("select step, metrics from metrics order by run_name, step").fetchall()
    told = [(step, json.loads(metrics)) for step, metrics in rows]
    assert [(step, each["win_rate"]) for step, each in told if "win_rate" in each] == SCORES * 2
    assert [(step, each["loss"]) for step, each in told if "loss" in each] == LOSSES * 2

"""A search where people watch it: TensorBoard files always, and W&B, MLflow and trackio when they are asked for."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.logger import LoggerCallback

from evals.secrets import redacted
from orchestrator.cluster.tune.following import trial_in
from orchestrator.errors import SettingsError
from orchestrator.report.narration import narrator
from orchestrator.report.tensorboard import TENSORBOARD, EventFile
from orchestrator.run_files import RunFiles
from orchestrator.settings import Settings
from orchestrator.training.records import read_records, scalars

_FIGURES = ("win_rate", "low", "high", "mean_length", "prompts", "checkpoint", "step")
# So many of the steps on the way to a checkpoint are told, or all: with their figures as many as MLflow takes in one request.
_STEPS = 80
# How long the end of a search waits for W&B to take the last figures.
_UPLOAD_S = 60


def check_trackers(trackers: Sequence[str]) -> None:
    """Refuse trackers that could not be written to. Raises SettingsError."""
    where = "search.trackers"
    missing = [name for name in trackers if find_spec(name) is None]
    if missing:
        cure = "pip install 'daa-orchestrator[tracking]', or leave it out"
        raise SettingsError(f"tracking needs {' and '.join(missing)}, which cannot be found", where, cure)
    needs_key = "wandb" in trackers and os.environ.get("WANDB_MODE") not in {"offline", "disabled"}
    if needs_key and not import_module("wandb").api.api_key:
        raise SettingsError("W&B does not know who you are", where, "`wandb login`, or export WANDB_API_KEY, or WANDB_MODE=offline")


def make_trackers(settings: Settings, directory: Path) -> "Tracking":
    """What tells the trackers that the settings name, and TensorBoard's files below `directory`."""
    chosen = {TENSORBOARD: _TensorBoard(directory / TENSORBOARD)} | {
        name: _MAKERS[name](settings.name, directory) for name in settings.search.trackers
    }
    return Tracking(chosen, RunFiles(directory).checkpoints)


class Tracking(tune.Callback):
    """Hands Tune's news on to trackers, with the figures that people watch and no others; with a score, the training that led to it.

    What a tracker does wrong, a server that is out of reach say, is told once and ends its tracking, never the search.
    """

    def __init__(self, trackers: Mapping[str, LoggerCallback], checkpoints: Path) -> None:
        """`checkpoints` has a directory for each run."""
        self._trackers, self._checkpoints = dict(trackers), checkpoints
        self._told: dict[Any, int] = {}

    def setup(self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any) -> None:
        """The search begins."""
        self._tell("setup")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune started to follow a trial, perhaps after a pause."""
        # Of what an earlier session told, Tune keeps the last.
        self._told.setdefault(trial, (trial.last_result or {}).get("step", 0))
        self._tell("log_trial_start", trial)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any) -> None:
        """A score arrived."""
        if "win_rate" in result:
            before = self._told.get(trial, 0)
            if steps := steps_between(self._checkpoints / result["run"], before, result["step"]):
                self._tell("log_steps", trial, steps)
            self._told[trial] = max(before, result["step"])
            self._tell("log_trial_result", iteration, trial, figures(result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune is done with a trial."""
        self._tell("log_trial_end", trial, False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Following a trial failed."""
        self._tell("log_trial_end", trial, True)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """The search is over."""
        self._tell("on_experiment_end", trials)

    def _tell(self, what: str, *news: Any) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, what)(*news)
            # Their clients raise whatever their networks and files do.
            except Exception as error:
                del self._trackers[name]
                why = redacted(repr(error))[:300]
                narrator().say_path(f"[yellow]{name} is told nothing more[/yellow]; the ledger has everything:", why)


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a score, by training step; `healthy` is 1 or 0, and absent where the run's health is not known."""
    told = {name: result[name] for name in _FIGURES}
    health = {"healthy": float(result["health"] == "healthy")} if result.get("health") else {}
    # The one is what W&B counts by, the other what MLflow does.
    return {**told, **health, "training_iteration": told["step"], "timesteps_total": told["step"]}


def steps_between(run: Path, before: int, last: int) -> dict[int, dict[str, float]]:
    """What a run measured at its steps after `before`, the last one among them; of many steps some, evenly spaced."""
    with suppress(OSError, ValueError):
        records = [record for record in read_records(run) if before < record["step"] <= last]
        every = max(1, ceil(len(records) / _STEPS))
        return {record["step"]: scalars(record) for record in records[::-every][::-1]}
    return {}


def label(trial: Any) -> str:
    """A Tune trial by the name that it has in the ledger."""
    return trial_in(trial.config).id


class _TensorBoard(LoggerCallback):
    """A directory of event files for each trial, which are complete after every score."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[Any, EventFile] = {}

    def log_trial_start(self, trial: Any) -> None:
        """Open the trial's file, a further one after a pause."""
        if trial not in self._files:
            self._files[trial] = EventFile(self._directory / label(trial))
            told = "\n".join(f"| {name} | {value} |" for name, value in trial.config.items())
            self._files[trial].add_text("hyperparameters", f"| | |\n|---|---|\n{told}")

    def log_steps(self, trial: Any, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Write what was measured while the trial was trained."""
        for step, measured in steps.items():
            self._files[trial].add(measured, step)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Write a score by training step."""
        numbers = {name: result[name] for name in (*_FIGURES, "healthy") if result.get(name) is not None and name != "step"}
        self._files[trial].add(numbers, result["step"])
        self._files[trial].flush()

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Close the file."""
        if trial in self._files:
            self._files.pop(trial).close()


class _Trackio(LoggerCallback):
    """A run of trackio for each trial."""

    def __init__(self, project: str, group: str) -> None:
        self._project, self._group = project, group
        self._runs: dict[Any, Any] = {}

    def log_trial_start(self, trial: Any) -> None:
        """Open the trial's run; one that was paused goes on."""
        if trial not in self._runs:
            how = {"group": self._group, "config": dict(trial.config), "resume": "allow", "embed": False}
            self._runs[trial] = import_module("trackio").init(project=self._project, name=label(trial), **how)

    def log_steps(self, trial: Any, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Send what was measured while the trial was trained."""
        for step, measured in steps.items():
            self._runs[trial].log(dict(measured), step=step)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Send a score by training step."""
        numbers = {name: result[name] for name in (*_FIGURES, "healthy") if result.get(name) is not None}
        self._runs[trial].log(numbers, step=result["step"])

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Send the rest."""
        if trial in self._runs:
            self._runs.pop(trial).finish()


def _wandb(project: str, directory: Path) -> LoggerCallback:
    from orchestrator.cluster.tune.wandb_runs import WandbRuns

    # A run that was interrupted goes on under its name. Workers of a cluster do not have the environment of this process.
    options = {"group": directory.name, "resume": "allow", "dir": str(directory), "mode": os.environ.get("WANDB_MODE")}
    return WandbRuns(project=os.environ.get("WANDB_PROJECT", project), upload_timeout=_UPLOAD_S, **options)


def _mlflow(project: str, directory: Path) -> LoggerCallback:
    from orchestrator.cluster.tune.mlflow_runs import MlflowRuns

    return MlflowRuns(tracking_uri=f"sqlite:///{directory / 'mlflow.db'}", experiment_name=project, tags={"run": directory.name})


def _trackio(project: str, directory: Path) -> LoggerCallback:
    return _Trackio(project, directory.name)


_MAKERS: Mapping[str, Callable[[str, Path], LoggerCallback]] = {"wandb": _wandb, "mlflow": _mlflow, "trackio": _trackio}

"""Ray Tune: samples become trials, scores become results, and a stopped trial is told to the hub."""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.execution import class_cache

from orchestrator.cluster.asking import ask
from orchestrator.cluster.placement import HEAD_MARK, waiting_places
from orchestrator.cluster.session import find_actor
from orchestrator.cluster.tune.following import Following, follow_trial, trial_in
from orchestrator.cluster.tune.schedulers import make_scheduler
from orchestrator.cluster.tune.searchers import make_searcher
from orchestrator.cluster.tune.tracking import label, make_trackers
from orchestrator.cluster.tune.tune_state import can_restore, name_in_order
from orchestrator.cluster.tune.whole_storage import whole_storage
from orchestrator.errors import DaaError, MachineError
from orchestrator.report.narration import narrator
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board, Status
from orchestrator.search.ledger import read_ledger
from orchestrator.search.plan import SearchPlan
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings

# What waits for a place at two looks is told: within a minute.
_LOOKS_EVERY_S = 20.0
_FEW_TRIALS = 200
# The folder of Tune's state below that of the search.
_STATE = "tune"


class HubCallback(tune.Callback):
    """Tells the hub and the screen what Tune decided. It is pickled with Tune's state, so it holds names only."""

    def __init__(self, hub: str) -> None:
        self._hub = hub
        self._looked = time.monotonic()
        self._waiting: str | None = None
        self._told: str | None = None
        self._joined: set[str] = set()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune asks all the time; now and then, what waits for a place in the cluster is told."""
        if time.monotonic() - self._looked > _LOOKS_EVERY_S:
            self._looked = time.monotonic()
            waiting = waiting_places()
            # A group that is being placed waits for a moment, too.
            if waiting is not None and waiting == self._waiting != self._told:
                narrator().say(f"[yellow]waiting for a place in the cluster[/yellow]: {waiting}")
                self._told = waiting
            self._waiting = waiting

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune started to follow a trial, perhaps after a pause."""
        started = _trial(trial)
        if started.id not in self._joined:
            self._joined.add(started.id)
            narrator().trial_started(started)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any) -> None:
        """A score arrived."""
        if "win_rate" in result:
            # A trial that takes over another's training has done so by this time.
            narrator().scored(replace(_trial(trial), id=result["run"]), result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune is done with a trial: its workers are free for the next one."""
        result = trial.last_result or {}
        is_complete = "checkpoint" in result and result["checkpoint"] == result["checkpoints"]
        end = ask(find_actor(self._hub).stop, _trial(trial).id, Status.COMPLETED if is_complete else Status.STOPPED)
        narrator().trial_ended(_trial(trial), end, result.get("step", 0))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Following a trial failed: the search ends, and a resumed one follows it again."""
        narrator().trial_ended(_trial(trial), "no longer followed", (trial.last_result or {}).get("step", 0))
        reason = ask(find_actor(self._hub).fatal)
        raise LeavingTuneError(reason or MachineError("a trial could not be followed", _trial(trial).id, "see the logs, then resume"))


class LeavingTuneError(BaseException):
    """Leaves Tune as the death of its driver does, with its state as it was saved last: it would put down that all trials are over.

    Tune handles exceptions that are an Exception.
    """

    def __init__(self, reason: DaaError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class HubStopper(tune.Stopper):
    """Ends the search when a budget is used up, and leaves it when something ended it after which a resumed one goes on: the hub knows."""

    def __init__(self, hub: str) -> None:
        self._hub, self._asked, self._is_spent = hub, 0.0, False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Asked by Tune all the time, and by this the hub once a second."""
        if time.monotonic() - self._asked > 1:
            self._asked = time.monotonic()
            if (reason := ask(find_actor(self._hub).fatal)) is not None:
                raise LeavingTuneError(reason)
            self._is_spent = ask(find_actor(self._hub).spent_out) is not None
        return self._is_spent


def tune_trials(settings: Settings, plan: SearchPlan, hub: str, directory: Path) -> None:
    """Search until all trials are over or a budget is; takes up an interrupted search from Tune's state in `directory`.

    Raises what ended the search.
    """
    # Tune writes all of its trials each time: where they are many, no more than a share of its own time goes into it.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "2" if settings.search.trials <= _FEW_TRIALS else "auto")
    _hand_on_no_keys()
    name_in_order()
    how = Following(hub, plan.rungs[-1].checkpoint, settings.search.pauses, uuid.uuid4().hex)
    trainable = tune.with_resources(tune.with_parameters(_following(how)), _places(settings))
    state = str(directory / _STATE)
    if can_restore(Path(state)):
        tuner = tune.Tuner.restore(state, trainable, resume_unfinished=True, restart_errored=True, storage_filesystem=whole_storage())
        restored: Any = tuner._local_tuner
        # Those that the search began with know where its directory was then.
        restored._tune_config.scheduler = make_scheduler(settings, plan, hub, RunFiles(directory).ledger)
        restored._run_config.callbacks = _callbacks(settings, hub, directory)
    else:
        tuner = _new_tuner(trainable, settings, plan, hub, directory)
    try:
        tuner.fit()
    except LeavingTuneError as left:
        raise left.reason from None
    _end_unfollowed(hub, directory, settings.cluster.max_attempts)


def _new_tuner(trainable: Any, settings: Settings, plan: SearchPlan, hub: str, directory: Path) -> tune.Tuner:
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            num_samples=settings.search.trials,
            search_alg=make_searcher(settings),
            scheduler=make_scheduler(settings, plan, hub, RunFiles(directory).ledger),
            max_concurrent_trials=None if settings.search.pauses else _followed_at_once(settings),
            reuse_actors=True,
            trial_name_creator=label,
        ),
        run_config=tune.RunConfig(
            name=_STATE,
            storage_path=str(directory),
            storage_filesystem=whole_storage(),
            stop=HubStopper(hub),
            callbacks=_callbacks(settings, hub, directory),
            failure_config=tune.FailureConfig(fail_fast=True),
            verbose=0,
        ),
    )


def _callbacks(settings: Settings, hub: str, directory: Path) -> list[tune.Callback]:
    return [HubCallback(hub), make_trackers(settings, directory)]


def _hand_on_no_keys() -> None:
    """What follows trials writes to no cloud: Tune would hand it the cloud's keys in Ray's runtime_env, which Ray logs."""
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update([name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")])


def _following(how: Following) -> Callable[[dict[str, Any]], None]:
    def trainable(sample: dict[str, Any]) -> None:
        follow_trial(sample, how)

    return trainable


def _places(settings: Settings) -> dict[str, float]:
    """What each of the processes that follow trials is counted with: on the head node, which no search outlives.

    Where the scheduler pauses trials, it decides which are followed, of more than are proposed at a time: then the head node's mark limits
    them to as many as there are worker groups and engines.
    """
    if not settings.search.pauses:
        return {"CPU": 0.01, HEAD_MARK: 0.001}
    return {"CPU": 0, HEAD_MARK: round(1 / (_followed_at_once(settings) + 0.5), 4)}


def _followed_at_once(settings: Settings) -> int:
    return settings.cluster.gangs + settings.cluster.engines


def _end_unfollowed(hub: str, directory: Path, max_attempts: int) -> None:
    """End runs that Tune does not know of: it saves its trials a moment after they began, or after one took over another's training."""
    records = Board.rebuilt(read_ledger(RunFiles(directory).ledger), max_attempts).records.values()
    left = [record for record in records if record.until is None and not record.status.is_over]
    # Those that a budget cut short are ended by the hub, which says so.
    is_spent = bool(left) and ask(find_actor(hub).spent_out) is not None
    for record in left:
        if record.start or not is_spent:
            ask(find_actor(hub).stop, record.trial.id, Status.STOPPED, "nobody follows it")


def _trial(tune_trial: Any) -> Trial:
    return trial_in(tune_trial.config)

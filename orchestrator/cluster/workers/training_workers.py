"""Warm worker groups: one long-lived Ray Train run whose workers take one trial after another."""

import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from evals.errors import first_line
from orchestrator.cluster.asking import ask
from orchestrator.cluster.session import HEAD, find_actor, set_environment, stands_in
from orchestrator.cluster.workers.messages import Assignment
from orchestrator.cluster.workers.streaming import streamed_inputs
from orchestrator.errors import ClusterError, DaaError, SettingsError
from orchestrator.output import send_output_to
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Status
from orchestrator.search.trial import Trial
from orchestrator.settings import ClusterSettings, Settings
from orchestrator.training.tidying import step_directory

_ASK_EVERY_S = 0.5
# Before another run of Ray Train, when one failed.
_PAUSE_S = 5.0
# While rank 0 waits for the hub, for a round's data, or for scores that another group computes, the others stand in a collective. Ray, not
# the collective, notices a worker that died, within seconds.
_LONGEST_WAIT_S = 24 * 60 * 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gang:
    """A worker group: its name, the hub it works for, where it writes, and what it may use."""

    name: str
    hub: str
    directory: str
    cluster: ClusterSettings


@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1, max_task_retries=-1)
class GangsActor:
    """Owns the gangs' Ray Train runs, each in a thread: outside any trial's process, so that stopping a trial leaves no workers behind."""

    def __init__(self, directory: str) -> None:
        send_output_to(RunFiles(Path(directory)).log("gangs"))

    def run(self, gang: Gang) -> None:
        """Returns when the hub sends the gang's workers home. With isolation "run", every trial gets a new Train run."""
        set_environment()
        from ray.train import TrainingFailedError

        if stands_in():
            # The workers died with the process that had started them, and may not find a place again.
            tell_lost(gang)
        while not ask(find_actor(gang.hub).is_closing):
            try:
                train_run(gang, serve_trials, {"gang": gang})
            except (RayActorError, TrainingFailedError) as error:
                # The process that watches over the workers died, or its node left; or they failed more often than a run of Ray Train may.
                tell_lost(gang)
                if isinstance(error, TrainingFailedError):
                    logger.warning("%s begins anew: %s", gang.name, error)
                    ask(find_actor(gang.hub).note, "gang", {"gang": gang.name, "what": f"{gang.name} began anew: {str(error)[:300]}"})
                    time.sleep(_PAUSE_S)


def train_run(gang: Gang, work: Callable[[dict[str, Any]], None], config: dict[str, Any]) -> None:
    """One Ray Train run of `work` on the gang's workers; they are restarted when one dies.

    Without a hub to be told of it, raises SettingsError for GPUs that are too small.
    """
    set_environment()
    from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback, WorkerGroupError
    from ray.train.torch import TorchConfig

    from orchestrator.cluster.workers.gang_trainer import GangTrainer

    class TellLost(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:
            tell_lost(gang, first_failure(worker_exceptions))

    cluster = gang.cluster
    uses_gpu = cluster.gpus_per_worker > 0
    resources = {"CPU": cluster.cpus_per_worker} | ({"GPU": cluster.gpus_per_worker} if uses_gpu else {})
    trainer = GangTrainer(
        work,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=cluster.workers, use_gpu=uses_gpu, resources_per_worker=resources),
        torch_config=TorchConfig(backend="nccl" if uses_gpu else "gloo", timeout_s=_LONGEST_WAIT_S),
        run_config=RunConfig(
            name=f"{gang.name}-{uuid.uuid4().hex[:8]}",
            storage_path=str(Path(gang.directory) / "train"),
            # Workers without GPUs would train on those of others, which Ray leaves visible to them.
            worker_runtime_env={} if uses_gpu else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}},
            callbacks=[TellLost()] if gang.hub else [],
            failure_config=FailureConfig(max_failures=cluster.max_attempts * 10 if gang.hub else cluster.max_attempts),
        ),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        if gang.hub or (small := lack_of_memory(error.worker_failures)) is None:
            raise
        raise small from error


def tell_lost(gang: Gang, reason: str = "") -> None:
    """The gang's workers died: another gang may go on with their trial while these wait for a place."""
    ask(find_actor(gang.hub).lost, gang.name, reason)


def first_failure(failures: Mapping[int, Exception]) -> str:
    """What the first rank that failed says of it, in a line."""
    error = _raised(failures[min(failures)])
    return f"{type(error).__name__}: {first_line(error)}"


def lack_of_memory(failures: Mapping[int, Exception]) -> SettingsError | None:
    """The cure where a worker's GPU was too small."""
    from torch import OutOfMemoryError

    small = [error for error in map(_raised, failures.values()) if isinstance(error, OutOfMemoryError)]
    return out_of_memory(small[0]) if small else None


def _raised(error: Exception) -> Exception:
    """What a worker raised: Ray Train wraps it into something that reads as its traceback."""
    return getattr(error, "_base_exc", error)


def out_of_memory(error: Exception) -> SettingsError:
    """What a GPU that is too small is told as."""
    cure = "set training.micro_batch_tokens lower, gradient_checkpointing = true, or zero_stage = 3 with more workers"
    # A trial's end has the first part for its reason.
    return SettingsError(f"a worker's GPU has too little memory ({first_line(error)}): {cure}", "training.micro_batch_tokens", cure)


def serve_trials(config: dict[str, Any]) -> None:
    """What every worker of a gang does: take the hub's next trial, train it, ask again."""
    from orchestrator.training.deepspeed_engine import free_memory

    gang: Gang = config["gang"]
    rank = warm_up(gang.directory, gang.name)
    hub = find_actor(gang.hub)
    while True:
        assignment: Assignment = agree(ask(hub.next_job, gang.name) if rank == 0 else None)
        if assignment.job is not None:
            _train(assignment, gang, hub, rank)
            free_memory()  # What an error's traceback held, too.
            if gang.cluster.isolation == "run":
                return
        elif not assignment.wait:
            return


def warm_up(directory: str, name: str) -> int:
    """Send this worker's output to its log and pay for the imports before a trial waits for them; returns its rank."""
    from ray.train import get_context

    rank = get_context().get_world_rank()
    send_output_to(RunFiles(Path(directory)).log(f"{name}-worker-{rank}"))
    import torch

    from orchestrator.training import deepspeed_engine

    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    deepspeed_engine.warm_up()
    return rank


def inputs_of(settings: Settings, directory: Path) -> Any:
    """What the run in `directory` trains on: pairs in memory, or those that were streamed into the cache."""
    from orchestrator.training.inputs import load_inputs

    assert settings.model.base is not None
    return streamed_inputs(settings, directory) if settings.data.streaming else load_inputs(settings.model.base, settings.data)


def training_run(settings: Settings, trial: Trial, directory: Path) -> Any:
    """The trial as the training loop wants it."""
    from orchestrator.training.run import TrainingRun

    assert settings.model.base is not None
    inputs = inputs_of(settings, directory)
    return TrainingRun(
        objective=trial.objective(),
        settings=trial.training_settings(settings.training),
        pairs=inputs.pairs,
        model=settings.model.base,
        tokenizer=inputs.tokenizer,
        directory=RunFiles(directory).trial(trial.id),
        reference_cache=settings.reference_cache or str(settings.cache.expanduser() / "reference"),
        selection=trial.selection_settings(settings.selection),
        reference=settings.model.reference,
        references=settings.model.references,
        validation=inputs.validation,
    )


def last_model(run: Any) -> Path:
    """Where a run leaves the Hugging Face directory of its last checkpoint."""
    return step_directory(run.directory, run.steps) / "model"


def trained_model(run: Any, directory: Path) -> Path:
    """The same, once training is over. Raises ClusterError when it is not there."""
    model = last_model(run)
    if not model.is_dir():
        raise ClusterError("training ended without its last checkpoint", str(RunFiles(directory).logs), "read the workers' logs")
    return model


def engine_for(run: Any) -> Any:
    """The base model under DeepSpeed, on this worker's rank."""
    from orchestrator.training.deepspeed_engine import DeepSpeedEngine

    return DeepSpeedEngine(run.policy(), run.settings)


class Wanted:
    """Whether the search still wants a trial: the hub is asked, and training does not wait for its answer."""

    def __init__(self, hub: Any, trial: str) -> None:
        self._hub, self._trial, self._is_over = hub, trial, False
        self._asked = -math.inf
        self._answer: Any = None

    def __call__(self) -> bool:
        """False once the trial is over, or the search has failed."""
        if self._answer is not None and ray.wait([self._answer], timeout=0)[0]:
            answer, self._answer = self._answer, None
            try:
                status: Status = ray.get(answer)
                self._is_over = status.is_over
            except RayActorError:
                return True  # The hub is restarting: it is asked again.
            except RayTaskError:
                self._is_over = True
        if self._answer is None and time.monotonic() > self._asked + _ASK_EVERY_S:
            self._asked, self._answer = time.monotonic(), self._hub.wait_for.remote(self._trial)
        return not self._is_over


def agree(told: Any) -> Any:
    """What rank 0 was told, on every rank."""
    import torch.distributed as dist

    box: list[Any] = [told]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _train(assignment: Assignment, gang: Gang, hub: Any, rank: int) -> None:
    """Train one trial; a refusal that all ranks share is told to the hub, anything else ends the process and Ray Train restarts it.

    A GPU that is too small ends both, the trial and the process.
    """
    from torch import OutOfMemoryError

    from orchestrator.cluster.workers.trial_rounds import runs_of
    from orchestrator.training.loop import train

    job, settings = assignment.job, assignment.settings
    assert job is not None and settings is not None
    told, wanted = partial(ask, hub.checkpoint, gang.name, job), Wanted(hub, job.trial.id)
    try:
        for each in runs_of(settings, job.trial, Path(gang.directory), rank):
            run = replace(each, keeps_engines=settings.search.takes_over)
            engine = engine_for(run)
            try:
                last = train(run, engine, lambda point: told(point.progress.step, str(point.directory)), wanted)
            finally:
                engine.close()
            if last is None or last.progress.step < run.last_step:
                break
    except DaaError as error:
        if rank == 0:
            ask(hub.failed, gang.name, job.trial.id, error)
        return
    except OutOfMemoryError as error:
        # Other ranks wait for this one in a collective, which only the end of its process ends.
        ask(hub.failed, gang.name, job.trial.id, out_of_memory(error))
        raise
    if rank == 0:
        ask(hub.trained, gang.name, job.trial.id)

"""How worker groups are started."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.cluster.workers import training_workers
from orchestrator.cluster.workers.messages import Assignment
from orchestrator.cluster.workers.training_workers import Gang, first_failure, lack_of_memory, train_run
from orchestrator.errors import SettingsError
from orchestrator.search.board import Job
from orchestrator.search.trial import Trial
from orchestrator.settings import ClusterSettings, Settings, VerifierSettings
from orchestrator.worlds.recipes import TasksRecipe

TOO_SMALL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee the documentation")


@pytest.mark.parametrize(("gpus", "backend"), [(0, "gloo"), (1, "nccl")])
def test_ranks_see_no_gpu_where_they_have_none_and_wait_for_the_first_as_long_as_that_may_wait_for_another_groups_scores(
    gpus: int, backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(training_workers, "set_environment", lambda: monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1"))
    training_workers.set_environment()
    from orchestrator.cluster.workers import gang_trainer

    started: list[dict[str, Any]] = []

    class Started:
        def __init__(self, work: Any, **given: Any) -> None:
            started.append(given)

        def fit(self) -> None:
            """Nothing is trained."""

    monkeypatch.setattr(gang_trainer, "GangTrainer", Started)
    train_run(Gang("one", "", str(tmp_path), ClusterSettings(gpus_per_worker=gpus)), lambda config: None, {})
    (given,) = started
    assert given["run_config"].worker_runtime_env == ({} if gpus else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}})
    assert (given["torch_config"].backend, given["torch_config"].timeout_s) == (backend, 86400)


def test_what_a_worker_raised_is_told_in_a_line_and_a_gpu_that_is_too_small_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

    wrapped = UserExceptionWithTraceback(TOO_SMALL, "Traceback (most recent call last):\n...")
    assert first_failure({1: RuntimeError("NCCL"), 0: wrapped}) == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."
    assert lack_of_memory({0: RuntimeError("NCCL")}) is None
    assert "micro_batch_tokens lower" in str(lack_of_memory({0: RuntimeError("NCCL"), 1: wrapped}))


def test_a_trial_for_which_a_ranks_gpu_is_too_small_ends_at_once_and_so_does_that_ranks_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def runs_of(*given: Any) -> Any:
        raise TOO_SMALL

    monkeypatch.setattr("orchestrator.cluster.workers.trial_rounds.runs_of", runs_of)
    monkeypatch.setattr(training_workers, "ask", lambda method, *given: told.append((method, *given)))
    settings = Settings(world=TasksRecipe(kind="tasks"), judge=VerifierSettings(kind="verifier"))
    job = Job(Trial("001", "dpo", {}, {}), 1)
    with pytest.raises(torch.OutOfMemoryError):
        training_workers._train(
            Assignment(job, settings),
            Gang("gang-0", "hub", str(tmp_path), settings.cluster),
            SimpleNamespace(failed="failed", checkpoint=""),
            3,
        )
    ((*call, error),) = told
    assert call == ["failed", "gang-0", "001"]
    assert isinstance(error, SettingsError) and "zero_stage = 3" in error.what


@pytest.mark.parametrize(("hub", "raised"), [("", "SettingsError"), ("hub", "WorkerGroupError")])
def test_who_has_no_hub_to_be_told_of_a_gpu_that_is_too_small_raises_the_cure(
    hub: str, raised: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")
    from ray.train import WorkerGroupError

    from orchestrator.cluster.workers import gang_trainer

    def fit() -> None:
        raise WorkerGroupError("a worker failed", {0: TOO_SMALL})

    monkeypatch.setattr(gang_trainer, "GangTrainer", lambda *given, **named: SimpleNamespace(fit=fit))
    with pytest.raises((SettingsError, WorkerGroupError)) as refused:
        train_run(Gang("one", hub, str(tmp_path), ClusterSettings()), lambda config: None, {})
    assert type(refused.value).__name__ == raised

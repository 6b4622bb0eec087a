"""How worker groups are started."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.workers import training_workers
from orchestrator.cluster.workers.training_workers import Gang, train_run
from orchestrator.settings import ClusterSettings


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

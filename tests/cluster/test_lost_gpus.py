"""An actor whose GPU fails ends and is asked again in another process, and what fails there again is told."""

import os
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.lost_gpus import GpuWork, is_of_gpu

LOST = "CUDA error: an illegal memory access was encountered"


@ray.remote(num_cpus=0, max_restarts=-1)
class Engine:
    """Works on a GPU whose context is lost for good in the process that first asks too much, or in every one."""

    def __init__(self, log: Path) -> None:
        self._gpu, self._log, self._is_lost = GpuWork(), log, False

    def work(self, asks_too_much: str) -> int:
        """The process that worked."""
        with self._log.open("a") as log:
            log.write(f"{asks_too_much}\n")
        with self._gpu.working():
            is_first = self._log.read_text().split("\n").count(asks_too_much) == 1
            self._is_lost |= asks_too_much == "always" or (asks_too_much == "once" and is_first)
            if self._is_lost:
                raise RuntimeError(LOST)
            return os.getpid()


@pytest.mark.cluster
@pytest.mark.timeout(120)
def test_a_process_whose_gpu_fails_ends_and_is_asked_again_in_another_until_it_fails_there_too(tmp_path: Path) -> None:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        engine: Any = Engine.remote(tmp_path / "log")
        first = ask(engine.work, "nothing")
        second = ask(engine.work, "once")
        assert second != first and second == ask(engine.work, "nothing")
        with pytest.raises(RuntimeError, match="illegal memory access"):
            ask(engine.work, "always")
    finally:
        ray.shutdown()
    assert (tmp_path / "log").read_text().split() == ["nothing", "once", "once", "nothing", "always", "always"]


@pytest.mark.parametrize(
    ("error", "failed"),
    [(RuntimeError(LOST), True), (RuntimeError("CUDA out of memory. Tried to allocate"), False), (ValueError("a bad row"), False)],
)
def test_a_lack_of_memory_is_no_failure_of_the_gpu(error: Exception, failed: bool) -> None:
    assert is_of_gpu(error) == failed

"""A worker group hears within a step that nobody wants its trial any more, and never waits to hear it."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError

from orchestrator.cluster.asking import ask
from orchestrator.cluster.workers import training_workers
from orchestrator.cluster.workers.training_workers import Gang, Wanted
from orchestrator.errors import MachineError
from orchestrator.search.board import Status
from orchestrator.settings import ClusterSettings
from tests.cluster.small_search import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]
ANSWERS_AFTER_S = 0.5


class Hub:
    """Answers as the real one: at once when a trial is over, else after a while."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.failed = False

    async def wait_for(self, trial: str) -> Status:
        try:
            await asyncio.wait_for(self.over.wait(), ANSWERS_AFTER_S)
        except TimeoutError:
            return Status.TRAINING
        if self.failed:
            raise MachineError("the disk is full", trial, "make room")
        return Status.STOPPED

    async def end(self, failed: bool) -> None:
        self.failed = failed
        self.over.set()


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(training_workers, "_ASK_EVERY_S", 0.05)
    actor: Any = ray.remote(Hub).options(num_cpus=0, max_restarts=1).remote()
    yield actor
    ray.kill(actor)


@pytest.mark.parametrize("failed", [False, True])
def test_a_trial_is_wanted_until_it_is_over_or_the_search_has_failed(hub: Any, failed: bool) -> None:
    wanted = Wanted(hub, "001")
    waited = 0.0
    for _ in range(20):
        started = time.perf_counter()
        assert wanted()
        waited += time.perf_counter() - started
        time.sleep(0.05)
    assert waited < 20 * ANSWERS_AFTER_S / 2, "a step waits for the hub's answer"
    ray.get(hub.end.remote(failed))
    wait_until(lambda: not wanted(), 10, "the group hears that its trial is over")
    assert not wanted()


def test_a_trial_stays_wanted_while_the_hub_is_restarting(hub: Any) -> None:
    wanted = Wanted(hub, "001")
    assert wanted()
    ray.kill(hub, no_restart=False)
    for _ in range(40):
        assert wanted()
        time.sleep(0.05)
    ask(hub.end, False)
    wait_until(lambda: not wanted(), 10, "the group hears that its trial is over")


def run_gang(directory: Path, monkeypatch: pytest.MonkeyPatch, **instead: Any) -> None:
    """What the owner of a gang does, in this process, with parts of its module replaced."""
    hub = SimpleNamespace(is_closing="is_closing", note="note")
    for name, value in {"find_actor": lambda _: hub, "send_output_to": lambda _: None, **instead}.items():
        monkeypatch.setattr(training_workers, name, value)
    plain: Any = training_workers.GangsActor
    plain.__ray_metadata__.modified_class(str(directory)).run(Gang("gang-0", "hub", str(directory), ClusterSettings()))


def test_a_group_whose_train_run_failed_begins_another_which_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.train import WorkerGroupError

    failures, noted, lost = [WorkerGroupError("30 failures", {}), RayActorError(), None], [], []

    def train_run(*_: Any) -> None:
        if (failure := failures.pop(0)) is not None:
            raise failure

    def ask(method: str, *arguments: Any) -> bool:
        if method == "note":
            noted.append(arguments[1]["what"])
        return not failures

    run_gang(tmp_path, monkeypatch, train_run=train_run, ask=ask, tell_lost=lost.append, _PAUSE_S=0.0, stands_in=lambda: False)
    assert failures == [] and len(lost) == 2
    assert len(noted) == 1 and noted[0].startswith("gang-0 began anew: ") and "30 failures" in noted[0]


@pytest.mark.parametrize(("stands_in", "lost"), [(False, []), (True, ["gang-0"])])
def test_who_stands_in_for_the_dead_owner_of_gangs_tells_that_their_workers_are_lost(
    stands_in: bool, lost: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    run_gang(tmp_path, monkeypatch, ask=lambda _: True, tell_lost=lambda gang: told.append(gang.name), stands_in=lambda: stands_in)
    assert told == lost

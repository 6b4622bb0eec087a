"""What ends a session takes nothing from the next one: the real hub and ledger in this process, groups that say what they are told to.

A search without a score has failed.
"""

import asyncio
import json
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer, get_ident
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cluster.hub import hub
from orchestrator.cluster.runs import search
from orchestrator.cluster.runs.search import _base_measured_beside, _check_scored
from orchestrator.errors import CheckpointError, ClusterError, MachineError
from orchestrator.search.board import Status
from orchestrator.search.plan import make_plan
from orchestrator.settings import Settings
from tests.cluster.mortal_hub import PAIRS, PROMPTS, TRIALS, Outside, Session, settings_of
from tests.search.events import began

FULL = MachineError("no space is left", "the disk", "make room, then resume")


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """A search's directory, and the settings in it."""
    (tmp_path / "settings.json").write_text(settings_of(tmp_path).model_dump_json())
    return Outside(tmp_path)


def of(outside: Outside, patch: pytest.MonkeyPatch, sessions: int = 0) -> Any:
    """A hub that does not die, of the session that follows so many."""
    return Session(outside, 10**6, True, patch.setattr, sessions).hub


def begin(asked: Any, outside: Outside) -> Coroutine[Any, Any, None]:
    settings = settings_of(outside.directory)
    return asked.begin(settings, make_plan(settings, PAIRS, 0.0, PROMPTS, PROMPTS))


def test_a_trial_that_stops_because_the_session_ends_is_trained_on_by_the_next(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> set[str]:
        first = of(outside, monkeypatch)
        await begin(first, outside)
        for trial in TRIALS[:2]:
            await first.submit(trial)
        jobs = [(await first.next_job(gang)).job for gang in ("gang-0", "gang-1")]
        await first.failed("gang-1", jobs[1].trial.id, FULL)
        await first.trained("gang-0", jobs[0].trial.id)
        assert await first.fatal() is FULL
        second = of(outside, monkeypatch)
        await begin(second, outside)
        return {(await second.next_job(gang)).job.trial.id for gang in ("gang-5", "gang-6")}

    assert asyncio.run(run()) == {trial.id for trial in TRIALS[:2]}
    assert not outside.events("trained")


def test_what_becomes_of_a_stopped_trials_files_under_its_workers_hands_ends_nothing(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[Any, Any]:
        asked = of(outside, monkeypatch)
        await begin(asked, outside)
        for trial in TRIALS[:2]:
            await asked.submit(trial)
        stopped = (await asked.next_job("gang-0")).job.trial.id
        partial = outside.directory / "checkpoints" / stopped / ".step-000004.partial"
        partial.mkdir(parents=True)
        await asked.stop(stopped, Status.STOPPED, "behind")
        assert not partial.exists()
        await asked.failed("gang-0", stopped, CheckpointError("a checkpoint cannot be written: no such directory", str(partial)))
        return await asked.fatal(), (await asked.next_job("gang-0")).job.trial.id

    assert asyncio.run(run()) == (None, TRIALS[1].id)
    assert [event["status"] for event in outside.events("end")] == ["stopped"]


def test_a_trial_whose_group_is_lost_is_free_for_others_also_after_the_hub_was_restarted(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> str:
        first = of(outside, monkeypatch)
        await begin(first, outside)
        await first.submit(TRIALS[0])
        await first.next_job("gang-7")
        await first.lost("gang-7")
        restarted = of(outside, monkeypatch)
        monkeypatch.setattr(hub.ray, "get_runtime_context", lambda: SimpleNamespace(was_current_actor_reconstructed=True))
        await restarted.baseline()
        return (await restarted.next_job("gang-0")).job.trial.id

    assert asyncio.run(run()) == TRIALS[0].id


def test_a_trial_that_kills_its_workers_ends_with_what_killed_them(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        asked = of(outside, monkeypatch)
        await begin(asked, outside)
        await asked.submit(TRIALS[0])
        for _ in range(settings_of(outside.directory).cluster.max_attempts):
            await asked.next_job("gang-0")
            await asked.lost("gang-0", "RuntimeError: NCCL")

    asyncio.run(run())
    (end,) = outside.events("end")
    assert end["status"] == "failed" and end["reason"].endswith("times on the way to a checkpoint: RuntimeError: NCCL")


def test_a_driver_that_asks_twice_begins_one_session(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        asked = of(outside, monkeypatch)
        await asyncio.gather(begin(asked, outside), begin(asked, outside))

    asyncio.run(run())
    assert len(outside.events("begin")) == 1


def test_a_hub_that_died_before_its_session_was_written_is_begun_by_its_driver(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> bool:
        await begin(of(outside, monkeypatch), outside)
        (outside.directory / "settings.json").unlink()
        restarted = of(outside, monkeypatch, sessions=1)
        monkeypatch.setattr(hub.ray, "get_runtime_context", lambda: SimpleNamespace(was_current_actor_reconstructed=True))
        waiting = asyncio.create_task(restarted.next_job("gang-0"))
        await asyncio.sleep(0.1)
        assert len(outside.events("begin")) == 1
        await begin(restarted, outside)
        return (await waiting).wait and await restarted.fatal() is None

    assert asyncio.run(run())
    assert len(outside.events("begin")) == 2


def test_a_restarted_hub_that_cannot_begin_again_says_so_to_everybody(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> Any:
        asked = of(outside, monkeypatch)
        monkeypatch.setattr(hub.ray, "get_runtime_context", lambda: SimpleNamespace(was_current_actor_reconstructed=True))
        (outside.directory / "search.jsonl").unlink()
        for _ in range(2):
            with pytest.raises(Exception, match=r"no .*file"):
                await asyncio.wait_for(asked.next_job("gang-0"), 5)
        return await asked.fatal()

    begun = make_plan(settings_of(outside.directory), PAIRS, 0.0, PROMPTS, PROMPTS).as_dict()
    (outside.directory / "ledger.jsonl").write_text(json.dumps({"event": "begin", "time": 1.0, **begun}) + "\n")
    assert asyncio.run(run()) is not None


def test_a_search_in_which_no_trial_was_scored_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ledger.jsonl").write_text("")
    monkeypatch.setattr(search, "ask", lambda method: method())
    hub = SimpleNamespace(fatal=lambda: None, verdicts_are_in=lambda: True, spent_out=lambda: None)
    monkeypatch.setattr(search, "write_reports", lambda directory: [])
    with pytest.raises(ClusterError, match="no trial was scored") as refused:
        _check_scored(hub, tmp_path, SimpleNamespace(say=print))  # pyright: ignore[reportArgumentType]
    assert (refused.value.code, refused.value.where) == ("DAA-0610", str(tmp_path / "logs"))


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_search_that_is_stopped_has_its_reports_before_the_cluster_is_left(
    has_begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []

    @contextmanager
    def cluster(*_: object) -> Iterator[None]:
        try:
            yield
        finally:
            seen.append({file.name for file in tmp_path.iterdir()})

    def stopped(settings: Settings, directory: Path, story: object) -> None:
        (directory / "ledger.jsonl").write_text(json.dumps(began()) + "\n" if has_begun else "")
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "ray_session", cluster)
    monkeypatch.setattr(search, "checked_inputs", lambda settings, directory: None)
    monkeypatch.setattr(search, "check_gpus", lambda cluster, say: None)
    monkeypatch.setattr(search, "_search", stopped)
    with pytest.raises(KeyboardInterrupt):
        search.search(settings_of(tmp_path), tmp_path)
    assert ({"leaderboard.json", "report.html"} <= seen[0]) is has_begun
    assert (tmp_path / "leaderboard.json").exists() is has_begun


def test_who_is_stopped_while_waiting_for_the_base_score_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(search, "_measure_base", lambda hub, story, is_left: told.append(is_left.wait(20)))
    interrupt = Timer(0.2, signal.pthread_kill, [get_ident(), signal.SIGINT])
    with pytest.raises(KeyboardInterrupt), _base_measured_beside(None, SimpleNamespace()):  # pyright: ignore[reportArgumentType]
        interrupt.start()
    assert told == [True]

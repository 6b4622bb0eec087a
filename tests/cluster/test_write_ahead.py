"""What is not in the ledger did not happen: a search that dies at any write of it goes on to the same end."""

import asyncio
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from orchestrator.cluster import asking
from orchestrator.cluster.engines.evaluation_actors import LedgerActor
from orchestrator.cluster.hub.journal import Bell, Journal
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board
from orchestrator.search.ledger import read_ledger
from orchestrator.training.tidying import step_directory
from tests.cluster.mortal_hub import STEPS, Outside, Session

NEVER = 10**9


def live(outside: Outside, monkeypatch: pytest.MonkeyPatch, last: int = NEVER, is_written: bool = True) -> bool:
    """One life of a search; whether it came to its end."""

    async def life() -> bool:
        return await asyncio.wait_for(Session(outside, last, is_written, monkeypatch.setattr).run(), 30)

    return asyncio.run(life())


def essence(outside: Outside) -> dict[Any, Any]:
    """What must not depend on where the process died."""
    events = outside.events()
    whole: dict[Any, Any] = {}
    for event in events:
        kind = event["event"]
        if kind in {"score", "held_out"}:
            key = (kind, event.get("run", event["trial"]), event.get("step"), len(event["verdicts"]))
            assert key not in whole, f"written twice: {key}"
            whole[key] = event["verdicts"]
        elif kind == "baseline":
            assert kind not in whole
            whole[kind] = event["verdicts"]
        elif kind == "checkpoint":
            key = (kind, event["trial"], event["step"])
            assert key not in whole, f"written twice: {key}"
            whole[key] = event["checkpoint"].removeprefix(str(outside.directory))
        elif kind == "damaged":
            del whole["checkpoint", event["trial"], event["step"]]
        elif kind in {"trial", "end"}:
            assert (kind, event["trial"]) not in whole
            whole[kind, event["trial"]] = event.get("status")
    assert whole["end", "stopped"] == "stopped"
    # What a trial that is stopped early still does is a matter of chance.
    return {key: value for key, value in whole.items() if "stopped" not in key}


def missing(outside: Outside) -> list[Path]:
    """What the ledger counts on and nobody finds: answers of scores, and checkpoints that are yet to be scored."""
    events = outside.events()
    answers = [RunFiles(outside.directory).answers(event) for event in events if event["event"] in {"baseline", "score", "held_out"}]
    records = Board.rebuilt(events, 3).records.values()
    models = [Path(pending) / "model" for record in records if not record.status.is_over for pending in record.pending.values()]
    return [path for path in (*answers, *models) if not path.exists()]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    """A search that nothing happened to."""
    outside = Outside(tmp_path_factory.mktemp("calm"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert live(outside, monkeypatch)
    return outside


def test_the_calm_search_has_all_kinds_of_events(calm: Outside) -> None:
    kinds = Counter(event["event"] for event in calm.events())
    assert set(kinds) == {"begin", "trial", "attempt", "checkpoint", "score", "trained", "end", "baseline", "finals", "held_out"}
    ends = {event["trial"]: event["status"] for event in calm.events("end")}
    assert ends == {"best": "completed", "stopped": "stopped", "diverges": "censored", "best-seed1": "completed"}
    # The base model answers under two seeds: for itself, and to be compared with.
    assert all(count == 1 + (model == "base" and "held-out" not in prompt) for (model, prompt), count in calm.answered.items())
    assert not calm.asked_for_known


@pytest.mark.parametrize("is_written", [True, False], ids=["after", "before"])
def test_a_search_that_dies_at_any_write_goes_on_to_the_same_end(
    calm: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    for last in range(len(calm.events())):
        outside = Outside(tmp_path / str(last))
        if live(outside, monkeypatch, last, is_written):
            # A stopped trial may leave before its last checkpoint: this one had fewer events than the calm search, and died after each.
            assert len(calm.events()) - 3 <= last
            break
        assert len(outside.events()) == last + is_written
        died_of = json.dumps(outside.events()[-1:])[:200]
        assert not missing(outside), died_of
        assert live(outside, monkeypatch), died_of
        assert essence(outside) == essence(calm), died_of
        assert not outside.asked_for_known, died_of


@pytest.mark.parametrize("step", STEPS)
def test_a_checkpoint_that_is_cut_short_before_it_is_scored_is_trained_again(
    calm: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    outside = Outside(tmp_path)
    told = [(event["event"], event.get("trial"), event.get("step")) for event in calm.events()]
    assert not live(outside, monkeypatch, told.index(("checkpoint", "best", step)))
    weights = step_directory(tmp_path / "checkpoints" / "best", step) / "model" / "weights"
    os.truncate(weights, 3)
    assert live(outside, monkeypatch)
    assert ("best", step) in [(event["trial"], event["step"]) for event in outside.events("damaged")]
    assert essence(outside) == essence(calm)


@pytest.mark.parametrize("seed", range(8))
def test_a_search_that_dies_again_and_again_comes_to_the_same_end(
    calm: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    outside, lives, chance = Outside(tmp_path), 1, random.Random(seed)
    # Each life begins, hands both groups their trial again, and needs a write or more to come any further.
    while not live(outside, monkeypatch, last=chance.randint(2, 5)):
        lives += 1
        assert not missing(outside)
    assert lives > 5
    assert essence(outside) == essence(calm)
    assert not outside.asked_for_known


class KilledError(BaseException):
    """SIGKILL: no handler runs."""


class KilledInFsync:
    """The ledger's actor, whose process is killed in every second wait for the disk, and starts again; the last `lost` bytes are gone."""

    def __init__(self, file: Path, lost: int, survives: int, monkeypatch: pytest.MonkeyPatch) -> None:
        plain: Any = LedgerActor
        self._file, self._lost, self._start = file, lost, plain.__ray_metadata__.modified_class
        self._actor, self.append, self._waits, self._on_disk = self._start(str(file)), self, survives, file.stat().st_size
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, file: int) -> None:
        self._waits, written = self._waits + 1, os.fstat(file).st_size
        if self._waits % 2:
            os.truncate(self._file, max(self._on_disk, written - self._lost))
            raise KilledError
        self._on_disk = written

    async def remote(self, *arguments: Any) -> Any:
        await asyncio.sleep(0)
        try:
            return self._actor.append(*arguments)
        except KilledError:
            self._actor = self._start(str(self._file))
            raise RayActorError from None


@pytest.mark.parametrize("survives", [0, 1])
@pytest.mark.parametrize("lost", [0, 1, 80, 200, 10**4])
def test_a_ledger_writer_that_is_killed_while_it_waits_for_the_disk_writes_each_event_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int, survives: int
) -> None:
    monkeypatch.setattr(asking, "_PAUSE_S", 0.0)
    file = tmp_path / "ledger.jsonl"

    async def session(first: int) -> None:
        journal = Journal(KilledInFsync(file, lost, survives, monkeypatch), Bell())
        await journal.write("trial", trial=str(first))
        await asyncio.gather(*(journal.write("trial", trial=str(first + number)) for number in range(1, 9)))
        await journal.write("trial", trial=str(first + 9))

    for first in (0, 10):
        asyncio.run(session(first))
    assert [event["trial"] for event in read_ledger(file)] == [str(number) for number in range(20)]

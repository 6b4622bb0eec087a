"""The hub's side of pauses, without a cluster: who waits at a checkpoint, who is queued again, and whose training is taken up."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cluster.hub.pausing import Pausing
from orchestrator.search.board import Board, Status
from orchestrator.search.ledger import Event
from orchestrator.search.trial import Origin, Trial
from orchestrator.settings import SearchSettings
from tests.search import events as made

TRIAL = Trial("001-dpo-ab12", "dpo", {"beta": 0.1}, {"learning_rate": 1e-6})
RUN = Trial("002-dpo-cd34@2", "dpo", {"beta": 0.1}, {"learning_rate": 1.2e-6})
FIRST, LAST = 10, 20


class Hub:
    """The board of a search with one trial under way, its ledger, and what the search has heard."""

    def __init__(self, directory: Path, scheduler: str) -> None:
        self.board, self.ledger, self.asked_beyond = Board(3), list[Event](), dict[str, int]()
        assessor: Any = SimpleNamespace(
            is_asked_beyond=lambda trial, step: self.asked_beyond.get(trial, -1) >= step, is_last=lambda trial, step: step == LAST
        )
        journal: Any = self
        search = SearchSettings.model_validate({"scheduler": scheduler})
        self.pausing = Pausing(directory, search, self.board, assessor, journal, self)
        self.board.submit(TRIAL)
        self.board.next_job("gang-0")

    async def write(self, event: str, **values: Any) -> None:
        """The ledger's side."""
        self.ledger.append({"event": event, **values})

    async def end(self, trial: str, status: Status, reason: str = "") -> None:
        """The hub's side."""
        self.board.end(trial, status, reason)

    def reach(self, step: int, trial: str = TRIAL.id) -> bool:
        """A worker group is at a checkpoint; the answer says whether it trains on."""
        self.board.adopt("gang-0", trial)
        self.board.checkpoint(trial, step, "directory")
        return asyncio.run(self.pausing.goes_on(trial, step))

    def hear(self, step: int, prompts: int) -> None:
        """The search asks for what comes after a score."""
        self.asked_beyond[TRIAL.id] = step
        asyncio.run(self.pausing.heard(TRIAL.id, step, prompts))


@pytest.mark.parametrize("scheduler", ["hyperband", "pbt", "pb2"])
def test_a_trial_waits_at_its_checkpoint_without_workers_until_the_search_asks_for_more(scheduler: str, tmp_path: Path) -> None:
    hub = Hub(tmp_path, scheduler)
    assert not hub.reach(FIRST)
    assert not hub.board.is_training
    hub.hear(0, 0)
    assert hub.board.records[TRIAL.id].status is Status.PAUSED, "its score is not known yet"
    hub.board.scored(made.scored(TRIAL.id, FIRST, 50.0))
    hub.hear(0, 0)
    hub.hear(FIRST, 101)
    assert hub.board.records[TRIAL.id].status is Status.PAUSED, "its score was not heard"
    hub.hear(FIRST, 102)
    assert hub.board.next_job("gang-1") is not None
    assert hub.reach(FIRST), "it is resumed there"
    assert hub.reach(LAST), "nothing comes after the last checkpoint"
    assert [event["event"] for event in hub.ledger] == ["pause", "resume"]


@pytest.mark.parametrize("scheduler", ["racing", "asha", "median", "none"])
def test_under_other_schedulers_no_trial_waits(scheduler: str, tmp_path: Path) -> None:
    hub = Hub(tmp_path, scheduler)
    assert hub.reach(FIRST)
    assert hub.ledger == []


def test_a_run_of_the_finals_never_waits(tmp_path: Path) -> None:
    hub = Hub(tmp_path, "hyperband")
    hub.board.submit(replace(TRIAL, id="final"), until=LAST)
    assert hub.reach(FIRST, "final")


def test_a_run_begins_paused_at_anothers_checkpoint_and_ends_the_one_whose_place_it_takes(tmp_path: Path) -> None:
    hub = Hub(tmp_path, "pbt")
    hub.board.submit(replace(TRIAL, id="002"))
    step = tmp_path / "checkpoints" / TRIAL.id / f"step-{FIRST:06d}"
    (step / "engine").mkdir(parents=True)
    (step.parent / "metrics.jsonl").write_text("")
    assert asyncio.run(hub.pausing.take_over(RUN, Origin(TRIAL.id, FIRST, 2), "002"))
    assert (tmp_path / "checkpoints" / RUN.id / step.name / "engine").is_dir()
    assert hub.board.records["002"].status is Status.STOPPED
    assert (hub.board.records[RUN.id].status, hub.board.records[RUN.id].start) == (Status.PAUSED, FIRST)
    (joined,) = hub.ledger
    expected: Mapping[str, Any] = {"event": "trial", "trial": RUN.id, "parent": TRIAL.id, "from_step": FIRST}
    assert expected.items() <= joined.items()
    assert asyncio.run(hub.pausing.take_over(RUN, Origin(TRIAL.id, FIRST, 2), "002")), "asked again after a fault, it is the same run"
    assert len(hub.ledger) == 1


def test_where_the_other_training_is_gone_nothing_changes(tmp_path: Path) -> None:
    hub = Hub(tmp_path, "pbt")
    assert not asyncio.run(hub.pausing.take_over(RUN, Origin("gone", FIRST, 2), TRIAL.id))
    assert (list(hub.board.records), hub.ledger) == ([TRIAL.id], [])
    assert hub.board.records[TRIAL.id].status is Status.TRAINING


def test_the_training_of_a_run_that_is_over_is_not_taken_up(tmp_path: Path) -> None:
    hub = Hub(tmp_path, "pbt")
    hub.board.submit(replace(TRIAL, id="002"))
    step = tmp_path / "checkpoints" / TRIAL.id / f"step-{FIRST:06d}"
    (step / "engine").mkdir(parents=True)
    (step.parent / "metrics.jsonl").write_text("")
    hub.board.end(TRIAL.id, Status.COMPLETED)
    assert not asyncio.run(hub.pausing.take_over(RUN, Origin(TRIAL.id, FIRST, 2), "002"))
    assert not (tmp_path / "checkpoints" / RUN.id).exists()
    assert RUN.id not in hub.board.records


@pytest.mark.parametrize(("scheduler", "kept"), [("hyperband", [FIRST, LAST]), ("pbt", [LAST])])
def test_what_resuming_needs_stays_until_the_search_cannot_ask_for_it(scheduler: str, kept: list[int], tmp_path: Path) -> None:
    hub = Hub(tmp_path, scheduler)
    for step in (FIRST, LAST):
        (tmp_path / "checkpoints" / TRIAL.id / f"step-{step:06d}" / "engine").mkdir(parents=True)
    hub.hear(FIRST, 102)
    assert len(list(tmp_path.glob("checkpoints/*/*/engine"))) == 2
    hub.board.scored(made.scored(TRIAL.id, LAST, 50.0))
    hub.hear(LAST, 102)
    assert [int(path.parent.name[-6:]) for path in sorted(tmp_path.glob("checkpoints/*/*/engine"))] == kept

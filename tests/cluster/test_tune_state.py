"""What is resumed is the last session's state, whatever the clock says, and none where Tune could not go on from it."""

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.train._internal import storage
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial
from ray.tune.search import SearchGenerator

from orchestrator.cluster.tune import tuning
from orchestrator.cluster.tune.searchers import make_searcher
from orchestrator.cluster.tune.tune_state import can_restore, later_name, name_in_order
from orchestrator.cluster.tune.whole_storage import whole_storage
from orchestrator.search import trial
from orchestrator.search.board import Status
from orchestrator.search.ledger import line_of
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import rungs
from orchestrator.settings import Settings
from tests.search import events as made

runs: Any = import_module("ray.tune.tune")
GIVEN = {"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, "search": {"methods": ["dpo"], "searcher": "random"}}
NOON = 1_790_000_000.0
Session = Callable[..., list[str]]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """One session of Tune that began at a time of a clock: tells which trials it knows, takes up one more and saves its state."""
    monkeypatch.setattr(runs, "TuneController", tune_controller.TuneController)
    name_in_order()
    tune.register_trainable("follows", print)

    def live(began: float, trial: str, cluster: str = "cluster") -> list[str]:
        monkeypatch.setattr(storage, "_get_ray_train_session_dir", lambda: str(tmp_path / cluster))
        monkeypatch.setattr(tune_controller, "time", SimpleNamespace(time=lambda: began, monotonic=time.monotonic))
        kept = storage.StorageContext(str(tmp_path / "run"), "tune", storage_filesystem=whole_storage())
        state = tmp_path / "run" / "tune"
        (state / "tuner.pkl").touch()
        searcher = SearchGenerator(make_searcher(Settings.model_validate(GIVEN)))
        resumed: Any = tune.ResumeConfig() if can_restore(state) else None
        controller = runs.TuneController(search_alg=searcher, storage=kept, resume_config=resumed, fail_fast=True)
        known = [trial.trial_id for trial in controller.get_trials()]
        controller.add_trial(Trial("follows", stub=True, trial_id=trial, storage=kept))
        controller.checkpoint(force=True, wait=True)
        return sorted(known)

    return live


@pytest.mark.parametrize("clusters", ["aaaaa", "abcde", "aabab"])
@pytest.mark.parametrize("clock", [[0, 1, 2, 3, 4], [0, -1, -2, -3, 4], [0, 0, 0, 0, 0], [0, -9, -4, 5, -5]])
def test_every_session_knows_the_trials_of_the_one_before_however_the_clock_was_set_meanwhile(
    session: Session, clusters: str, clock: list[int]
) -> None:
    for number, (hour, cluster) in enumerate(zip(clock, clusters, strict=True)):
        assert session(NOON + 3600 * hour, str(number), cluster) == [str(before) for before in range(number)]


def test_a_session_that_died_before_its_state_came_to_the_storage_is_not_taken_up_later(session: Session, tmp_path: Path) -> None:
    session(NOON, "0")
    before = set((tmp_path / "run" / "tune").glob("*-*.*"))
    session(NOON + 3600, "lost")
    for file in set((tmp_path / "run" / "tune").glob("*-*.*")) - before:
        file.unlink()
    assert session(NOON + 1800, "1") == ["0"]
    assert session(NOON + 2400, "2") == ["0", "1"]


@pytest.mark.parametrize("missing", ["*-*", "experiment_state-*", "searcher-state-*", "search_gen_state-*"])
def test_where_the_first_session_died_before_its_state_was_whole_the_search_begins_anew(
    session: Session, tmp_path: Path, missing: str
) -> None:
    session(NOON, "0")
    for file in (tmp_path / "run" / "tune").glob(missing):
        file.unlink()
    assert session(NOON - 3600, "1", "another") == []
    assert session(NOON - 1800, "2", "another") == ["1"]


def test_a_search_that_died_before_tune_saved_anything_begins_a_tune_that_names_its_state_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "TuneController", tune_controller.TuneController)
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "2")
    monkeypatch.setattr(tuning, "_new_tuner", lambda *_: SimpleNamespace(fit=lambda: begun.append(runs.TuneController)))
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "tuner.pkl").touch()
    begun: list[type] = []
    tuning.tune_trials(Settings.model_validate(GIVEN), SearchPlan(rungs(1, 100), pairs=100), "hub", tmp_path)
    assert [each.__name__ for each in begun] == ["_InOrder"]


def test_a_name_is_kept_where_it_sorts_last() -> None:
    assert later_name("2026-05-02", []) == "2026-05-02"
    assert later_name("2026-05-02", ["2026-05-01", "2026-05-01_"]) == "2026-05-02"
    names = ["2026-05-02"]
    for _ in range(3):
        names.append(later_name("2026-05-01", names))
    assert sorted(f"{name}.json" for name in names) == [f"{name}.json" for name in names]


@pytest.mark.parametrize("spent", [None, "the budget of 1 hours is spent"])
def test_a_trial_that_tune_forgot_is_ended_when_tune_is_done_unless_a_budget_ends_it(
    spent: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [trial.Trial(name, "dpo", {}, {}) for name in ("over", "forgotten", "final")]
    events = [made.joined(trials[0]), made.joined(trials[1]), made.joined(trials[2], 10, "over"), made.ended("over", "stopped")]
    lines = [line_of(event["event"], {key: value for key, value in event.items() if key != "event"}) for event in events]
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines))
    heard: list[tuple[Any, ...]] = []

    def ask(method: str, *arguments: Any) -> Any:
        heard.append((method, *arguments))
        return spent

    monkeypatch.setattr(tuning, "find_actor", lambda name: SimpleNamespace(stop="stop", spent_out="spent_out"))
    monkeypatch.setattr(tuning, "ask", ask)
    tuning._end_unfollowed("hub", tmp_path, 3)
    stopped = [("stop", "forgotten", Status.STOPPED, "nobody follows it")]
    assert heard == [("spent_out",), *([] if spent else stopped)]

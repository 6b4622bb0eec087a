"""Whole searches under schedulers that pause: workers are given back, training is resumed and not repeated, and taken over."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from orchestrator.training.records import read_records
from tests.cluster.small_search import RunningCommand, read_events, write_small_search

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
METHODS = ("dpo",)
Events = Sequence[Mapping[str, Any]]


def searched(
    model: Path, root: Path, scheduler: str, trials: int, checkpoints: int, changes: Mapping[str, str] = MappingProxyType({})
) -> tuple[Path, Events]:
    """The directory and the ledger of a whole search with a checkpoint after every four steps, and without finals."""
    settings = write_small_search(root, model, trials, steps=4 * checkpoints, methods=METHODS)
    text = (
        settings.read_text().replace("checkpoints = 4", f"checkpoints = {checkpoints}").replace(f'held_out = "{root}/prompts.jsonl"\n', "")
    )
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text.replace("[search]\n", f'[search]\nscheduler = "{scheduler}"\nreduction_factor = 2\n'))
    directory = root / "run"
    output = RunningCommand("search", str(settings), "--dir", str(directory), directory=root).wait(600)
    assert "Traceback" not in output
    assert "winner:" in output
    return directory, read_events(directory)


def of(events: Events, kind: str) -> Events:
    """The events of a kind."""
    return [event for event in events if event["event"] == kind]


def check_nothing_was_done_twice(directory: Path, events: Events) -> None:
    """Every step is trained once, every checkpoint saved and scored once, and every trial ends."""
    for kind in ("checkpoint", "score"):
        assert max(Counter((event["trial"], event["step"]) for event in of(events, kind)).values()) == 1
    for joined in of(events, "trial"):
        steps = [record["step"] for record in read_records(directory / "checkpoints" / joined["trial"])]
        assert steps == list(range(1, len(steps) + 1))
        saved = [event["step"] for event in of(events, "checkpoint") if event["trial"] == joined["trial"]]
        assert steps[-1] == max([joined.get("from_step", 0), *saved])
    assert sorted(event["trial"] for event in of(events, "end")) == sorted(event["trial"] for event in of(events, "trial"))
    assert not list(directory.glob("checkpoints/*/*/engine")), "optimiser states of finished trials are still there"


def test_hyperband_pauses_trials_whose_workers_train_others_and_resumes_them_at_their_checkpoints(tiny_model: Path, tmp_path: Path) -> None:
    directory, events = searched(tiny_model, tmp_path, "hyperband", trials=4, checkpoints=2)
    check_nothing_was_done_twice(directory, events)
    by_trial = {event["trial"]: event for event in of(events, "trial")}
    assert len(by_trial) == 4
    assert {event["step"] for event in of(events, "pause")} == {4}
    trained = Counter(event["trial"] for event in of(events, "checkpoint"))
    assert sorted(trained.values()) == [1, 2, 2, 2], "of the second bracket the worse trial is paused for good"
    resumed = [event["trial"] for event in of(events, "resume")]
    assert sorted(resumed) == sorted(name for name, checkpoints in trained.items() if checkpoints == 2)
    waited = [name for name in resumed if others_trained_during_the_pause(events, name)]
    assert waited, "no paused trial gave its workers to another one"
    (stopped,) = (event for event in of(events, "end") if event["status"] == "stopped")
    assert trained[stopped["trial"]] == 1


def others_trained_during_the_pause(events: Events, trial: str) -> bool:
    """True when the only worker group took up another trial between a trial's pause and its next attempt."""
    own = [number for number, event in enumerate(events) if event["event"] in {"pause", "attempt"} and event.get("trial") == trial]
    _, pause, again = own
    assert events[pause]["event"] == "pause"
    return any(event["event"] == "attempt" for event in events[pause:again])


@pytest.mark.long
def test_a_run_of_a_population_takes_up_the_training_of_a_better_one(tiny_model: Path, tmp_path: Path) -> None:
    # The first trial learns, and most others do not: one of them is the worst when its score arrives.
    rates = {"learning_rate = 2e-3": "learning_rate = 5e-3", "low = 1e-3, high = 1e-2": "low = 1e-7, high = 1e-2"}
    directory, events = searched(tiny_model, tmp_path, "pbt", trials=4, checkpoints=2, changes=rates)
    check_nothing_was_done_twice(directory, events)
    by_trial = {event["trial"]: event for event in of(events, "trial")}
    taken = [event for event in by_trial.values() if "parent" in event]
    assert taken, "no run took up another's training"
    for run in taken:
        parent = by_trial[run["parent"]]
        assert "@" in run["trial"]
        assert run["from_step"] in {4, 8}
        assert run["training"]["learning_rate"] != parent["training"]["learning_rate"]
        assert 1e-7 <= run["training"]["learning_rate"] <= 1e-2
        inherited, records = (read_records(directory / "checkpoints" / each["trial"])[: run["from_step"]] for each in (parent, run))
        assert records == inherited
        assert all(event["step"] > run["from_step"] for event in of(events, "checkpoint") if event["trial"] == run["trial"])
    trained = [event for run in taken for event in of(events, "score") if event["trial"] == run["trial"]]
    assert trained, "no run that took up another's training went on with it"
    rows = {row["trial"]: row for row in json.loads((directory / "leaderboard.json").read_text())}
    assert all(rows[run["trial"]]["hyperparameters"]["learning_rate"] == run["training"]["learning_rate"] for run in taken)

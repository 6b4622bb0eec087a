"""What `daa plan` foretells is what a search then takes, on the machine where it was measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.estimates.checking import checked
from orchestrator.search.ledger import Events, read_ledger
from tests.cluster.small_search import RunningCommand, write_small_search

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(900)]
WITHIN = 0.3


def test_steps_that_were_measured_foretell_the_training_and_the_judging_of_a_search(tiny_model: Path, tmp_path: Path) -> None:
    settings = write_small_search(tmp_path, tiny_model, trials=3, steps=60, methods=("dpo", "simpo"))
    before = foretold(settings)
    assert before["speed"].startswith("3 steps")
    assert sum(row["trials"] for row in before["trials"]) == 3
    assert list(tmp_path.glob("daa-*")) == []

    RunningCommand("search", str(settings), "--dir", str(tmp_path / "run"), directory=tmp_path).wait(600)
    events = read_ledger(tmp_path / "run" / "ledger.jsonl")
    real = {each.name: each for each in checked(events)}
    for each in real.values():
        assert each.real == pytest.approx(each.expected.expected, rel=WITHIN), each.name
    assert real["checkpoints trained"].held
    assert real["judgments"].expected.as_dict() == pytest.approx(before["estimate"]["judgments"])
    training = [3600 * before["estimate"]["parts"]["training"]["expected"]]
    if trained_seconds(events) != pytest.approx(training[0], rel=WITHIN):
        # Other tests run beside this one, now more and now fewer of them: the machine is measured on the other side of the search too.
        training.append(3600 * foretold(settings)["estimate"]["parts"]["training"]["expected"])
    assert min(training) * (1 - WITHIN) < trained_seconds(events) < max(training) * (1 + WITHIN)


def foretold(settings: Path) -> dict[str, Any]:
    """What `daa plan` says now of a search, by steps and answers that it measures."""
    planned = RunningCommand("plan", str(settings), "--measure", "--json", directory=settings.parent).wait(300)
    return json.loads(planned[planned.index("{") :])


def trained_seconds(events: Events) -> float:
    """How long the worker group was busy with trials."""
    handed = {event["trial"]: event["time"] for event in events.of("attempt")}
    return sum(event["time"] - handed[event["trial"]] for event in events.of("trained"))

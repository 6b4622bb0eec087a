"""What a search has come to is told from its ledger, at any moment."""

import json
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.report.jobs import progress_told
from orchestrator.search.ledger import Events
from orchestrator.search.progress import Progress, progress, progress_in
from orchestrator.search.trial import Trial
from tests.report.searched import BEST, searched
from tests.search.events import attempted, began, ended, joined, scored


def test_nothing_measured_is_nothing_known() -> None:
    found = progress(Events(), "/runs/mine", {"name": "mine"})
    assert (found.best, found.last, found.trials) == (None, None, {})
    assert "nothing is scored yet" in "\n".join(progress_told(found))


def test_the_directory_of_a_search_tells_its_name_and_how_many_trials_it_wants(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text(json.dumps(began()) + "\n" + '{"event": "half-wri')
    (tmp_path / "settings.json").write_text('{"name": "mine", "search": {"trials": 7}}')
    found = progress_in(tmp_path)
    assert (found.name, found.wanted, found.directory) == ("mine", 7, str(tmp_path))


def test_a_directory_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no ledger\.jsonl"):
        progress_in(tmp_path)


def test_trials_are_counted_by_where_they_stand_and_the_best_comes_with_its_interval() -> None:
    weak, fresh = Trial("000-dpo", "dpo", {}, {}), Trial("002-ipo", "ipo", {}, {})
    strong, final = (Trial(name, "simpo", {"beta": 2.5}, {}) for name in ("001-simpo", "001-simpo+seed-1"))
    events = [began(), *(joined(trial) for trial in (weak, strong, fresh)), attempted(weak.id), attempted(strong.id)]
    events += [scored(weak.id, 10, 51.0), ended(weak.id, "stopped"), scored(strong.id, 10, 64.0, time=40.0)]
    found = progress(Events([*events, joined(final, until=40, seed_of=strong.id)]), "/runs/mine", {"name": "mine", "search": {"trials": 5}})
    assert found.trials == {"stopped": 1, "training": 1, "waiting": 1}, "runs of the finals are no trials"
    assert found.best is not None
    assert (found.best.trial, found.best.low, found.best.high) == (strong.id, 59.0, 69.0)
    assert Progress.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    told = "\n".join(progress_told(found))
    assert "3 of 5 trials (1 stopped, 1 training, 1 waiting)" in told
    assert told.splitlines()[1] == "searching"
    assert f"best so far: {strong.id}, win rate 64.0 (59.0–69.0) on 102 prompts, beta=2.5" in told


def test_a_search_that_is_over_says_so_and_names_the_winner_of_its_finals(tmp_path: Path) -> None:
    found = progress_in(searched(tmp_path))
    assert found.phase == "finished"
    assert found.winner is not None and found.winner["trial"] == BEST
    assert Progress.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    told = "\n".join(progress_told(found))
    assert f"winner: {BEST}, win rate" in told and "held-out prompts" in told
    assert "best so far" not in told

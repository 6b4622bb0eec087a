"""Tune's side of the race: scores go in as Tune brings them, and a trial that leaves is told to the hub with its grounds."""

import math
import pickle
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from orchestrator.cluster.tune import tuning
from orchestrator.cluster.tune.tuning import RacingScheduler
from orchestrator.search.board import Status
from orchestrator.search.ledger import line_of
from orchestrator.search.racing import Rules, rungs
from tests.search import events as made

LAID = rungs(2, 100, growth=2)


def trial(number: int) -> Any:
    """A trial as Tune has it."""
    return SimpleNamespace(config={"number": number, "method": "dpo", "dpo.beta": 0.1 * number})


def result(win_rate: float, checkpoint: int, prompts: int) -> dict[str, Any]:
    """A report: easy prompts are the same for all."""
    easy = random.Random(0)
    verdicts = [1.0 if easy.random() < win_rate else 0.0 for _ in range(prompts)]
    return {"checkpoint": checkpoint, "prompts": prompts, "verdicts": verdicts}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the hub hears."""
    heard: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tuning, "find_actor", lambda name: SimpleNamespace(stop=name))
    monkeypatch.setattr(tuning, "ask", lambda method, *arguments: heard.append(arguments))
    return heard


# Of a search whose ledger has nothing yet.
NOWHERE = Path("no-ledger.jsonl")


def decisions(scheduler: RacingScheduler, *win_rates: float, checkpoint: int = 1, prompts: int = 50) -> list[str]:
    return [
        scheduler.on_trial_result(None, trial(number), result(rate, checkpoint, prompts)) for number, rate in enumerate(win_rates, start=1)
    ]


def test_the_worse_of_two_is_stopped_and_the_hub_hears_why_and_on_which_grounds(told: list[tuple[Any, ...]]) -> None:
    scheduler = RacingScheduler(Rules(LAID, 3), "hub", NOWHERE)
    assert decisions(scheduler, 0.8, 0.3) == [TrialScheduler.CONTINUE, TrialScheduler.STOP]
    ((stopped, status, reason, grounds),) = told
    assert stopped.startswith("002-dpo")
    assert status is Status.STOPPED
    assert "001-dpo" in reason
    assert grounds["against"].startswith("001-dpo")
    assert (grounds["checkpoint_number"], grounds["prompts"]) == (1, 50)


def test_trials_are_compared_at_the_same_checkpoint_only(told: list[tuple[Any, ...]]) -> None:
    scheduler = RacingScheduler(Rules(LAID, 3), "hub", NOWHERE)
    assert decisions(scheduler, 0.9, checkpoint=2) == [TrialScheduler.CONTINUE]
    assert scheduler.on_trial_result(None, trial(2), result(0.2, 1, 50)) == TrialScheduler.CONTINUE
    assert told == []


def test_a_saved_scheduler_goes_on_with_what_it_knows(told: list[tuple[Any, ...]]) -> None:
    scheduler = RacingScheduler(Rules(LAID, 3, doubt=math.inf), "hub", NOWHERE)
    decisions(scheduler, 0.9)
    restored = pickle.loads(pickle.dumps(scheduler))
    assert restored.on_trial_result(None, trial(2), result(0.1, 1, 50)) == TrialScheduler.STOP
    assert len(told) == 1


def test_a_trial_that_reports_again_after_a_restore_is_not_its_own_rival(told: list[tuple[Any, ...]]) -> None:
    scheduler = RacingScheduler(Rules(LAID, 3), "hub", NOWHERE)
    assert decisions(scheduler, 0.5) == decisions(scheduler, 0.5) == [TrialScheduler.CONTINUE]
    assert told == []


def test_who_led_in_an_earlier_session_leads_still_though_tune_restores_a_scheduler_that_knows_nothing(
    told: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    def scored(number: int, rate: float) -> bytes:
        verdicts = dict(enumerate(result(rate, 1, 50)["verdicts"]))
        card = made.scorecard(100 * rate, judged=50, unreadable=0)
        return line_of("score", {"trial": f"{number:03d}-dpo", "step": 10, "verdicts": verdicts, "scorecard": card})

    begin, saved = line_of("begin", {}), line_of("checkpoint", {"trial": "001-dpo", "step": 10})
    (tmp_path / "ledger.jsonl").write_bytes(b"".join([begin, saved, scored(1, 0.9), begin, scored(2, 0.1)]))
    scheduler = RacingScheduler(Rules(LAID, 3), "hub", tmp_path / "ledger.jsonl")
    assert decisions(scheduler, 0.1) == [TrialScheduler.STOP]
    assert told[0][-1]["against"] == "001-dpo"

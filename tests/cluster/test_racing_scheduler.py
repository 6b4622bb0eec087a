"""Tune's side: scores go in as Tune brings them, who leaves the race is told to the hub, and a resumed search decides as it would have."""

import math
import pickle
import random
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from orchestrator.cluster.tune import schedulers
from orchestrator.cluster.tune.schedulers import RacingScheduler, RecallingAsha, RecallingMedian
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
    monkeypatch.setattr(schedulers, "find_actor", lambda name: SimpleNamespace(stop=name))
    monkeypatch.setattr(schedulers, "ask", lambda method, *arguments: heard.append(arguments))
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


def told_before(ledger: Path, *scored: tuple[int, int, float]) -> Path:
    """The ledger of a session with these scores, (trial, checkpoint, win rate), and the beginning of the next."""
    lines = [line_of("begin", {})]
    for number, checkpoint, rate in scored:
        name, prompts = schedulers.trial_in(trial(number).config).id, 25 * checkpoint
        card = made.scorecard(100 * rate, judged=prompts, unreadable=0)
        verdicts = dict(enumerate(result(rate, checkpoint, prompts)["verdicts"]))
        lines += [line_of("checkpoint", {"trial": name, "step": 10 * step}) for step in range(1, checkpoint + 1)]
        lines.append(line_of("score", {"trial": name, "step": 10 * checkpoint, "verdicts": verdicts, "scorecard": card}))
    ledger.write_bytes(b"".join([*lines, line_of("begin", {})]))
    return ledger


def again(scheduler: Any, *reports: tuple[int, int, float]) -> list[str]:
    """What is decided of reports, (trial, checkpoint, win rate)."""
    controller, decided = SimpleNamespace(get_live_trials=list), []
    for number in {number for number, _, _ in reports}:
        scheduler.on_trial_add(controller, trial(number))
    for number, checkpoint, rate in reports:
        told = result(rate, checkpoint, 25 * checkpoint)
        decided.append(scheduler.on_trial_result(controller, trial(number), told | {"win_rate": 100 * fmean(told["verdicts"])}))
    return decided


def test_a_trial_that_passed_a_rung_is_not_stopped_there_by_a_later_leader_when_the_search_is_resumed(
    told: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    passed = [(1, 1, 0.4), (1, 2, 0.6), (2, 1, 0.76), (2, 2, 0.38)]
    rules = Rules(rungs(2, 50, growth=2), 8)
    alone = RacingScheduler(rules, "hub", NOWHERE)
    decided = again(alone, *passed)
    assert decided == [*[TrialScheduler.CONTINUE] * 3, TrialScheduler.STOP]
    told.clear()
    resumed = RacingScheduler(rules, "hub", told_before(tmp_path / "ledger.jsonl", *passed))
    assert again(resumed, *passed) == decided
    assert [stopped[:7] for stopped, *_ in told] == ["002-dpo"]


@pytest.mark.parametrize("kind", [RecallingAsha, RecallingMedian])
def test_a_scheduler_of_tunes_own_decides_in_a_resumed_search_as_if_it_had_never_stopped(kind: Any, tmp_path: Path) -> None:
    def scheduler(ledger: Path) -> Any:
        more = {"grace_period": 1, "max_t": 4, "reduction_factor": 3} if kind is RecallingAsha else {"grace_period": 1}
        return kind(ledger, time_attr="checkpoint", metric="win_rate", mode="max", **more)

    earlier = [*((number, 1, 0.05 * number) for number in range(1, 11)), (11, 1, 0.9), (12, 1, 0.8), (14, 1, 0.02)]
    later = [(11, 2, 0.9), (12, 2, 0.8), (13, 1, 0.1)]
    alone = scheduler(NOWHERE)
    first, then = again(alone, *earlier), again(alone, *later)
    assert first[-3:] == [TrialScheduler.CONTINUE] * 2 + [TrialScheduler.STOP] and then[-1] == TrialScheduler.STOP
    # The judge was asked about the last one's second checkpoint when it was stopped.
    resumed = scheduler(told_before(tmp_path / "ledger.jsonl", *earlier, (14, 2, 1.0)))
    # Those under way tell their scores again, the better one first.
    assert again(resumed, *earlier[-3:]) == first[-3:]
    assert again(resumed, *later) == then

"""A bound of the budget ends the search, and once more the finals: the runs in hand, those to come, and what is asked for them."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from evals.errors import UnreadableVerdictsError
from orchestrator.cluster.hub import spending
from orchestrator.cluster.hub.held_out import HeldOutScores
from orchestrator.cluster.hub.journal import Bell, Journal
from orchestrator.cluster.hub.spending import Purse
from orchestrator.cluster.runs.finals import check_judged
from orchestrator.errors import BudgetSpentError
from orchestrator.search.board import Board, Status
from orchestrator.search.trial import Trial
from orchestrator.settings import BudgetSettings, EvaluationSettings
from tests.cluster.test_assessing import Ledger, Scoring, settle

PROMPTS = 30
HOUR = "the budget of 1 hours is spent"


class Finals:
    """A search of one trial, whose finals have one run in hand and one that waits; `clock` is the hours since it began."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, scoring: Scoring, **budget: Any) -> None:
        (directory / "held_out.jsonl").write_text("".join(json.dumps({"prompt": f"say {number}"}) + "\n" for number in range(PROMPTS)))
        monkeypatch.setattr(spending, "_LOOKS_EVERY_S", 0.0)
        monkeypatch.setattr("orchestrator.cluster.hub.journal.now", lambda: 1000.0 + 3600 * self.clock)
        self.clock, self.closing = 0.0, False
        self.ledger, self.bell, self.board = Ledger(), Bell(), Board(2)
        self.journal = Journal(self.ledger, self.bell)
        self.journal.recall([{"event": "begin", "time": 1000.0, "gpus": 4.0}])
        self.purse = Purse(self.journal, self)
        self.purse.use(BudgetSettings(**budget), self.board)
        self.scores = HeldOutScores(directory, self.journal, self.purse)
        self.scores.use(EvaluationSettings(held_out=directory / "held_out.jsonl"), scoring)  # pyright: ignore[reportArgumentType]
        self.board.submit(Trial("001", "dpo", {}, {}))
        for seed in (1, 2):
            self.board.submit(Trial(f"001-seed{seed}", "dpo", {}, {}), until=4)
        self.board.next_job("gang-0")

    async def end(self, trial: str, status: Status, reason: str = "") -> None:
        """A trial is over."""
        self.board.end(trial, status, reason)

    def play(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Play while the budget is watched."""

        async def story() -> None:
            watch = asyncio.create_task(self.purse.watch(lambda: self.closing))
            await work()
            self.closing = True
            await watch

        asyncio.run(story())

    @property
    def standing(self) -> list[str]:
        """Where the trial and its two runs stand."""
        return [str(record.status) for record in self.board.records.values()]


@pytest.mark.parametrize("budget", [{"hours": 1.0}, {"gpu_hours": 4.0}])
def test_a_bound_that_ends_the_search_leaves_the_runs_of_the_finals_alone_until_it_is_reached_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: dict[str, float]
) -> None:
    finals = Finals(tmp_path, monkeypatch, Scoring(), **budget)

    async def story() -> None:
        # A run takes half an hour, and two are to come.
        await finals.journal.write("attempt", trial="000", gang="gang-0")
        finals.clock = 0.5
        await finals.journal.write("trained", trial="000")
        finals.journal.keep_back(2, 0)
        await settle()
        assert finals.standing == ["stopped", "waiting", "waiting"]
        assert finals.purse.ended(finals=False) is not None
        assert finals.purse.ended(finals=True) is None
        await finals.purse.begin_finals()
        await settle()
        assert finals.standing == ["stopped", "waiting", "waiting"]
        finals.clock = 1.1
        await settle()
        assert finals.standing == ["stopped", "stopped", "stopped"]
        assert [event["finals"] for event in finals.ledger.named("spent")] == [False, True]

    finals.play(story)


def test_finals_that_begin_while_a_bound_ends_the_search_end_by_their_own_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finals = Finals(tmp_path, monkeypatch, Scoring(), hours=1.0)

    async def story() -> None:
        finals.clock = 1.1
        ending = asyncio.create_task(finals.purse.spend_out(HOUR))
        await asyncio.sleep(0)
        finals.purse.take_up_finals()
        await ending
        assert finals.standing == ["stopped", "waiting", "waiting"]
        await finals.purse.begin_finals()
        assert finals.standing == ["stopped", "stopped", "stopped"]
        assert [event["event"] for event in finals.ledger.events] == ["spent", "finals", "spent"]
        assert [event["finals"] for event in finals.ledger.named("spent")] == [False, True]

    asyncio.run(story())


def test_no_answer_is_waited_for_when_the_finals_time_is_up_and_nothing_more_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring = Scoring()
    finals = Finals(tmp_path, monkeypatch, scoring, hours=1)

    async def story() -> None:
        await finals.purse.begin_finals()
        await finals.scores.score("001", 0, "001", "m", None)
        scoring.may_answer.clear()
        waiting = asyncio.create_task(finals.scores.score("001", 1, "001-seed1", "m", None))
        await settle()
        assert not waiting.done()
        finals.clock = 1.1
        await waiting
        await finals.scores.score("001", 2, "001-seed2", "m", None)
        assert [event["run"] for event in finals.ledger.named("held_out")] == ["001"]
        assert finals.purse.ended(finals=True) == HOUR
        assert (scoring.asked, finals.journal.spent().judgments) == (PROMPTS, PROMPTS)

    finals.play(story)


def test_verdicts_of_the_finals_that_are_on_the_way_when_time_is_up_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring = Scoring()
    scoring.may_judge.clear()
    finals = Finals(tmp_path, monkeypatch, scoring, hours=1)

    async def story() -> None:
        await finals.purse.begin_finals()
        waiting = asyncio.create_task(finals.scores.score("001", 0, "001", "m", None))
        await settle()
        finals.clock = 1.1
        await settle()
        scoring.may_judge.set()
        await waiting
        assert [event["run"] for event in finals.ledger.named("held_out")] == ["001"]

    finals.play(story)


def test_a_judge_whose_money_is_spent_ends_the_finals_and_not_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finals = Finals(tmp_path, monkeypatch, Scoring(error=BudgetSpentError("10 of 10 is spent", "the judge's budget", "raise it")))

    async def story() -> None:
        await finals.purse.begin_finals()
        await finals.scores.score("001", 0, "001", "m", None)
        assert finals.purse.ended(finals=True) == "10 of 10 is spent"
        assert finals.standing[1:] == ["stopped", "stopped"]

    finals.play(story)


def test_no_more_verdicts_are_asked_for_in_the_finals_than_the_budget_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring = Scoring()
    finals = Finals(tmp_path, monkeypatch, scoring, judgments=PROMPTS + 10)

    async def story() -> None:
        await finals.purse.begin_finals()
        await asyncio.gather(*(finals.scores.score("001", seed, f"run-{seed}", "m", None) for seed in range(3)))
        assert scoring.asked == PROMPTS
        assert [event["reason"] for event in finals.ledger.named("spent")] == [f"the budget of {PROMPTS + 10} judgments is spent"]

    finals.play(story)


def test_verdicts_that_are_on_the_way_are_expected_to_cost_what_verdicts_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finals = Finals(tmp_path, monkeypatch, Scoring(), cost=1.0)

    async def story() -> None:
        await finals.journal.write("score", trial="001", step=1, scorecard={"judged": 40, "unreadable": 0, "cost": 0.4}, verdicts={})
        budget = BudgetSettings(cost=1.0)
        assert finals.journal.exhausted(budget, 60) is None
        with finals.journal.set_aside(30):
            assert finals.journal.exhausted(budget, 30) is None
            assert finals.journal.exhausted(budget, 31) == "the budget of 1 of the judge's cost is spent"
        assert finals.journal.exhausted(budget, 61) is not None

    asyncio.run(story())


def test_a_run_of_the_finals_that_the_judge_cannot_judge_is_left_out_is_paid_for_and_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ledger.jsonl"

    async def session(run: str, scoring: Scoring) -> tuple[Any, Finals]:
        finals = Finals(tmp_path, monkeypatch, scoring, cost=50.0)
        found = await finals.scores.score("001", 0, run, "m", None)
        file.write_text((file.read_text() if file.exists() else "") + "".join(json.dumps(event) + "\n" for event in finals.ledger.events))
        return found, finals

    async def story() -> None:
        what = "9 of 30 verdicts could not be read"
        found, finals = await session("001", Scoring(error=UnreadableVerdictsError(what, asked=PROMPTS, cost=3.0)))
        assert found is None
        told = {"trial": "001", "seed": 0, "run": "001", "reason": what, "asked": PROMPTS, "cost": 3.0}
        assert told.items() <= finals.ledger.named("unreadable")[0].items()
        spent = finals.journal.spent()
        assert (spent.judgments, spent.cost) == (PROMPTS, 3.0)
        with pytest.raises(UnreadableVerdictsError, match=f"no finalist is judged: {what}") as refused:
            check_judged(tmp_path)
        assert "a stronger judge" in refused.value.cure
        scoring = Scoring()
        found, finals = await session("001", scoring)
        assert (found, scoring.asked, finals.ledger.events) == (None, 0, []), "not asked again"
        found, finals = await session("002", scoring)
        assert (found["run"], scoring.asked) == ("002", PROMPTS)
        check_judged(tmp_path)

    asyncio.run(story())

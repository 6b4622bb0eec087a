"""A checkpoint climbs its rungs as the search allows: heard, affordable, worth a judge, and fit to be believed."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.answers import load_answers
from evals.errors import UnreadableVerdictsError
from evals.generation import Decoding, Response
from evals.guards import Finding
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt, Message, PromptSet
from evals.scorecard import Measurement, Scorecard, score
from orchestrator.cluster.hub.assessing import Assessor, explained
from orchestrator.cluster.hub.journal import Bell, Journal
from orchestrator.cluster.hub.proxies import Proxies
from orchestrator.cluster.hub.scoring import Answered, Scored
from orchestrator.errors import BudgetSpentError, JudgeUnavailableError, MachineError, ModelError
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board, Status
from orchestrator.search.budget import Meter
from orchestrator.search.ledger import Events
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import rungs
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings

PROMPTS = PromptSet(tuple(EvaluationPrompt(str(number), (Message("user", "?"),)) for number in range(100)), "sha")
PLAN = SearchPlan(rungs(2, 100), pairs=40)


class Ledger:
    """Keeps what is written, as the ledger's actor does."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.append = self

    async def remote(self, lines: Sequence[bytes], after: int | None) -> int:
        """Some events."""
        self.events += map(json.loads, lines)
        return len(self.events)

    def named(self, event: str) -> list[dict[str, Any]]:
        """All events of a name."""
        return [each for each in self.events if each["event"] == event]


class Scoring:
    """An engine and a judge that win every second prompt; `asked` counts the verdicts."""

    def __init__(self, findings: Sequence[Finding] = (), error: Exception | None = None) -> None:
        self.asked, self._findings, self._error = 0, tuple(findings), error
        self.may_answer, self.may_judge = asyncio.Event(), asyncio.Event()
        self.may_answer.set(), self.may_judge.set()

    async def answer(self, model: str, prompts: PromptSet, known: Scored | None = None, count: int | None = None) -> Answered:
        """Nothing is generated."""
        await self.may_answer.wait()
        asked = prompts.prompts[len(known.verdicts) if known else 0 : count]
        return Answered("sha", [Match(p, "a", "b") for p in asked], [Response(p.id, "a", 1) for p in asked], 0.1)

    async def judge(self, answered: Answered, known: Scored | None = None, judge: Any = None) -> Scored:
        """Every second one wins."""
        if self._error is not None:
            raise self._error
        self.asked += len(answered.matches)
        await self.may_judge.wait()
        new = [Verdict(match.prompt.id, float(int(match.prompt.id) % 2)) for match in answered.matches]
        verdicts = [*(known.verdicts if known else ()), *new]
        responses = [*(known.responses if known else ()), *answered.responses]
        how = Measurement("judge", Decoding(), "sha", 1.0, findings=self._findings)
        return Scored(score(verdicts, responses, how), verdicts, responses, gross=self._findings)


class Hub:
    """An assessor with what it works with, and what it made of it."""

    def __init__(self, directory: Path, scoring: Scoring, **changes: Any) -> None:
        needed = {"model": {"base": "m"}, "data": {"train": "d"}, "evaluation": {"prompts": "p", "veto": ["constant"]}}
        training = {"batch_size": 10, "steps": 4, "checkpoints": 2}
        self.settings = Settings.model_validate(needed | {"judge": {"kind": "verifier"}, "training": training} | changes)
        self.ledger, self.bell, self.board = Ledger(), Bell(), Board(2)
        self.journal = Journal(self.ledger, self.bell)
        self.spent: list[str] = []
        self.assessor = Assessor(directory, self.journal, self.bell, self)
        self.assessor.use(self.settings, PLAN, self.board, scoring, PROMPTS, Proxies(self.settings.ladder, Events()))  # pyright: ignore[reportArgumentType]
        self.directory = directory

    async def end(self, trial: str, status: Status, reason: str = "") -> None:
        """A trial is over."""
        self.board.end(trial, status, reason)
        await self.bell.ring()

    async def complete(self, trial: str) -> None:
        """Nothing more is asked about a checkpoint."""

    async def spend_out(self, reason: str) -> None:
        """A budget is used up."""
        self.spent.append(reason)

    def checkpoint(self, trial: str, step: int) -> asyncio.Task[None]:
        """A checkpoint came in."""
        self.board.submit(Trial(trial, "dpo", {}, {}))
        self.board.checkpoint(trial, step, str(self.directory / trial / f"step-{step}"))
        return asyncio.create_task(self.assessor.assess(trial, step, str(self.directory / trial / f"step-{step}")))


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_hearing_a_score_again_wakes_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        hub = Hub(tmp_path, Scoring())
        await hub.assessor.hear("001", 2, 25)
        waiting = asyncio.create_task(hub.bell.wait())
        await settle()
        await hub.assessor.hear("001", 2, 25)
        await settle()
        assert not waiting.done(), "two who follow trials would wake each other for ever"
        await hub.assessor.hear("001", 2, 50)
        await waiting

    asyncio.run(story())


def test_no_rung_is_asked_before_the_search_has_heard_the_last_one(tmp_path: Path) -> None:
    async def story() -> None:
        scoring = Scoring()
        hub = Hub(tmp_path, scoring)
        first, second = hub.checkpoint("001", 2), hub.checkpoint("001", 4)
        await settle()
        assert [(e["step"], len(e["verdicts"]), e["whole"]) for e in hub.ledger.named("score")] == [(2, 25, False)]
        await hub.assessor.hear("001", 2, 25)
        await settle()
        assert [(e["step"], len(e["verdicts"]), e["whole"]) for e in hub.ledger.named("score")][1:] == [(2, 50, True)]
        assert first.done()
        for prompts in (50, 100):
            await hub.assessor.hear("001", 2 if prompts == 50 else 4, 50)
            await settle()
        assert second.done()
        assert [len(e["verdicts"]) for e in hub.ledger.named("score")] == [25, 50, 50, 100]
        assert scoring.asked == 150, "a verdict was asked for twice"

    asyncio.run(story())


def test_a_trial_that_was_dropped_meanwhile_costs_no_more_verdicts(tmp_path: Path) -> None:
    async def story() -> None:
        scoring = Scoring()
        hub = Hub(tmp_path, scoring)
        task = hub.checkpoint("001", 2)
        await settle()
        await hub.end("001", Status.STOPPED)
        await settle()
        assert task.done()
        assert scoring.asked == 25

    asyncio.run(story())


def test_verdicts_that_are_on_the_way_when_their_trial_ends_count_as_its_score_and_in_the_budget(tmp_path: Path) -> None:
    async def story() -> None:
        scoring = Scoring()
        scoring.may_judge.clear()
        hub = Hub(tmp_path, scoring, budget={"judgments": 60})
        task = hub.checkpoint("001", 2)
        await settle()
        assert (hub.assessor.is_judging, hub.assessor.in_hand("001"), hub.assessor.in_hand("002")) == (True, {2}, set())
        await hub.end("001", Status.STOPPED, "the budget is spent")
        scoring.may_judge.set()
        await task
        (event,) = hub.ledger.named("score")
        assert (event["trial"], event["step"], len(event["verdicts"])) == ("001", 2, 25)
        assert (hub.board.records["001"].status, hub.board.records["001"].reason) == (Status.STOPPED, "the budget is spent")
        assert hub.journal.spent().judgments == 25
        assert not hub.assessor.is_judging
        # A session after this one knows the verdicts and asks for none of them.
        later = Hub(tmp_path, again := Scoring())
        later.board.submit(Trial("001", "dpo", {}, {}))
        later.board.scored(event)
        later.board.end("001", Status.STOPPED)
        await later.checkpoint("001", 2)
        assert again.asked == 0

    asyncio.run(story())


def test_answers_that_come_when_their_trial_has_ended_are_not_judged(tmp_path: Path) -> None:
    async def story() -> None:
        scoring = Scoring()
        scoring.may_answer.clear()
        hub = Hub(tmp_path, scoring)
        task = hub.checkpoint("001", 2)
        await settle()
        await hub.end("001", Status.STOPPED)
        scoring.may_answer.set()
        await task
        assert (scoring.asked, hub.ledger.named("score"), hub.ledger.named("ladder")) == (0, [], [])

    asyncio.run(story())


def test_verdicts_that_were_set_aside_when_others_run_out_of_them_are_asked_for(tmp_path: Path) -> None:
    async def story() -> None:
        scoring = Scoring()
        scoring.may_answer.clear()
        hub = Hub(tmp_path, scoring, budget={"judgments": 40})
        first, second = hub.checkpoint("001", 2), hub.checkpoint("002", 2)
        await second
        for trial in ("001", "002"):
            await hub.end(trial, Status.STOPPED, hub.spent[0])
        assert (hub.assessor.is_judging, hub.assessor.in_hand("001"), hub.assessor.in_hand("002")) == (True, {2}, set())
        scoring.may_answer.set()
        await first
        assert [event["trial"] for event in hub.ledger.named("score")] == ["001"]
        assert not hub.assessor.is_judging

    asyncio.run(story())


def test_verdicts_beyond_the_budget_are_never_asked_for_those_on_the_way_included(tmp_path: Path) -> None:
    async def story() -> None:
        scoring = Scoring()
        hub = Hub(tmp_path, scoring, budget={"judgments": 60})
        tasks = [hub.checkpoint(f"{number:03d}", 2) for number in range(4)]
        await settle()
        await asyncio.gather(*tasks[2:])
        assert scoring.asked <= 60
        assert hub.spent
        assert set(hub.spent) == {"the budget of 60 judgments is spent"}
        for task in tasks[:2]:
            task.cancel()

    asyncio.run(story())


def test_a_judge_whose_money_is_spent_ends_the_search_and_not_with_an_error(tmp_path: Path) -> None:
    async def story() -> None:
        hub = Hub(tmp_path, Scoring(error=BudgetSpentError("10 of 10 is spent", "the judge's budget", "raise it")))
        await hub.checkpoint("001", 2)
        assert hub.spent == ["10 of 10 is spent"]
        assert hub.journal.fatal is None

    asyncio.run(story())


def test_a_judge_that_fails_ends_the_search_with_its_error(tmp_path: Path) -> None:
    async def story() -> None:
        error = JudgeUnavailableError("no answer", "the judge", "wait")
        hub = Hub(tmp_path, Scoring(error=error))
        await hub.checkpoint("001", 2)
        assert hub.journal.fatal is error
        assert hub.ledger.named("fatal")[0]["what"] == "no answer"

    asyncio.run(story())


def test_answers_that_cannot_be_kept_end_the_search_with_a_cure(tmp_path: Path) -> None:
    async def scenario() -> None:
        hub = Hub(tmp_path, Scoring(error=OSError(28, "No space left on device")))
        await hub.checkpoint("a", 2)
        assert hub.journal.fatal is not None
        assert "No space left" in hub.journal.fatal.what and "then resume" in str(hub.journal.fatal.cure)

    asyncio.run(scenario())


def test_a_vetoed_checkpoint_censors_its_trial_and_is_no_score(tmp_path: Path) -> None:
    async def story() -> None:
        hub = Hub(tmp_path, Scoring(findings=[Finding("constant", 0.9, "90 of 100 responses are the same")]))
        await hub.checkpoint("001", 2)
        assert hub.board.records["001"].status is Status.CENSORED
        assert "90 of 100 responses are the same" in hub.board.records["001"].reason
        assert hub.ledger.named("score") == []
        assert len(hub.ledger.named("veto")) == 1

    asyncio.run(story())


def test_a_guard_that_is_no_veto_ends_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        hub = Hub(tmp_path, Scoring(findings=[Finding("template", 0.9, "90 of 100 responses leak their template")]))
        task = hub.checkpoint("001", 2)
        await settle()
        assert not hub.board.records["001"].status.is_over
        assert len(hub.ledger.named("score")) == 1
        task.cancel()

    asyncio.run(story())


def test_a_trusted_measure_spares_the_judge_and_an_untrusted_one_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        scoring = Scoring()
        ladder = {"prune": True, "fewest": 5, "least_correlation": 0.0, "keep": 0.5, "audit": 100}
        hub = Hub(tmp_path, scoring, ladder=ladder)
        monkeypatch.setattr("orchestrator.cluster.hub.assessing.training_of", told)
        # Forty trials that validation ranks as the judge does.
        for number in range(40):
            trial = Trial(f"{number:03d}", "dpo", {}, {})
            hub.board.submit(trial)
            card = {"win_rate": float(number), "judged": 50, "unreadable": 0}
            where = {"event": "score", "trial": trial.id, "step": 2, "verdicts": {}, "whole": True}
            hub.board.scored({**where, "training": {"validation_accuracy": number / 100}, "proxies": {}, "scorecard": card})
        tasks = [hub.checkpoint("best", 2), hub.checkpoint("worst", 2)]
        await settle()
        rulings = {event["trial"]: event["action"] for event in hub.ledger.named("ladder")}
        assert rulings == {"best": "judge", "worst": "audit"}
        tasks.append(hub.checkpoint("worst-too", 2))
        await settle()
        assert hub.board.records["worst-too"].status is Status.STOPPED
        assert "pruned by validation" in hub.board.records["worst-too"].reason
        assert scoring.asked == 50
        for task in tasks:
            task.cancel()

    def told(directory: Path, step: int) -> dict[str, float]:
        return {"validation_accuracy": {"best": 0.9, "worst": 0.01, "worst-too": 0.005}[directory.name]}

    asyncio.run(story())


def test_a_session_after_this_one_goes_on_at_the_rung_that_it_finds(tmp_path: Path) -> None:
    async def story() -> None:
        hub = Hub(tmp_path, Scoring())
        hub.checkpoint("001", 2)
        await settle()
        (event,) = hub.ledger.named("score")
        scoring = Scoring()
        later = Hub(tmp_path, scoring)
        known = await scoring.judge(await scoring.answer("m", PROMPTS, None, 25))

        async def recall(*_: Any) -> Scored:
            return replace(known)

        scoring.asked = 0
        scoring.recall = recall  # pyright: ignore[reportAttributeAccessIssue]
        later.board.submit(Trial("001", "dpo", {}, {}))
        later.board.scored(event)
        task = later.checkpoint("001", 2)
        await settle()
        assert scoring.asked == 0
        await later.assessor.hear("001", 2, 25)
        await settle()
        assert scoring.asked == 25
        assert task.done()

    asyncio.run(story())


@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize("left", [None, 0, 100])
def test_a_session_after_this_one_answers_again_what_a_disk_has_lost_if_it_is_needed(
    left: int | None, is_whole: bool, tmp_path: Path
) -> None:
    async def story() -> None:
        hub = Hub(tmp_path, Scoring())
        hub.checkpoint("001", 2)
        await settle()
        if is_whole:
            await hub.assessor.hear("001", 2, 25)
            await settle()
        event = hub.ledger.named("score")[-1]
        file = RunFiles(tmp_path).answers(event)
        os.truncate(file, left) if left is not None else file.unlink()
        later = Hub(tmp_path, scoring := Scoring())
        scoring.recall = recall  # pyright: ignore[reportAttributeAccessIssue]
        later.board.submit(Trial("001", "dpo", {}, {}))
        later.board.scored(event)
        task = later.checkpoint("001", 2)
        await later.assessor.hear("001", 2, len(event["verdicts"]))
        await settle()
        assert task.done() and later.journal.fatal is None
        assert [len(event["verdicts"]) for event in later.ledger.named("score")] == ([] if is_whole else [50])
        assert is_whole or len(load_answers(file)[0]) == 50

    async def recall(file: Path, card: Scorecard, prompts: PromptSet) -> Scored:
        responses, verdicts = load_answers(file)
        return Scored(card, verdicts, responses)

    asyncio.run(story())


def test_a_checkpoint_of_the_search_that_cannot_be_loaded_is_no_mistake_of_the_user_and_can_be_got_past(tmp_path: Path) -> None:
    refused = ModelError("this file of the model cannot be read: Not a directory", "config.json", "another one")
    told = explained(refused, str(tmp_path / "checkpoints" / "001" / "step-000010"), tmp_path)
    assert isinstance(told, MachineError)
    assert "cannot be read: Not a directory" in told.what
    assert "then resume" in told.cure
    assert explained(refused, "/models/base", tmp_path) is refused


def test_a_trial_whose_answers_the_judge_cannot_judge_ends_and_the_search_goes_on(tmp_path: Path) -> None:
    async def run() -> Hub:
        hub = Hub(tmp_path, Scoring(error=UnreadableVerdictsError("28 of 100 verdicts could not be read", asked=100, cost=2.5)))
        await hub.assessor.hear("one", 0, 0)
        await hub.checkpoint("one", 2)
        return hub

    hub = asyncio.run(run())
    assert hub.journal.fatal is None
    assert (hub.board.records["one"].status, hub.board.records["one"].reason[:9]) == (Status.CENSORED, "28 of 100")
    spent = hub.journal.spent()
    assert (spent.judgments, spent.cost) == (100, 2.5), "they were paid for"
    assert Meter(hub.ledger.events).spent(0.0).judgments == 100


def test_an_error_that_nobody_foresaw_ends_the_search_and_is_told(tmp_path: Path) -> None:
    async def run() -> Hub:
        hub = Hub(tmp_path, Scoring(error=ZeroDivisionError("a fault")))
        await hub.assessor.hear("one", 0, 0)
        await hub.checkpoint("one", 2)
        return hub

    fatal = asyncio.run(run()).journal.fatal
    assert fatal is not None and "ZeroDivisionError('a fault')" in fatal.what

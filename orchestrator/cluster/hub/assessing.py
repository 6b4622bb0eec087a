"""Checkpoints through their rungs: on more and more prompts, as long as the search goes on with the trial and the budget holds."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evals.errors import UnreadableVerdictsError
from evals.prompts import PromptSet
from evals.scorecard import Scorecard
from evals.whole_files import is_damage
from orchestrator.cluster.hub.journal import Bell, Journal
from orchestrator.cluster.hub.proxies import Proxies
from orchestrator.cluster.hub.scoring import Scored, Scorer
from orchestrator.errors import BudgetSpentError, DaaError, DataFormatError, MachineError, ModelError
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board, Status
from orchestrator.search.goal import asked
from orchestrator.search.ledger import Event
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import Rung
from orchestrator.settings import Settings
from orchestrator.training.records import training_of

logger = logging.getLogger(__name__)


def explained(error: Exception, model: str, directory: Path) -> DaaError:
    """What went wrong when a model was evaluated, as a user is told; an error of ours is that already.

    A checkpoint of the search's own in `directory` that cannot be loaded is no mistake of the user's.
    """
    if isinstance(error, ModelError) and Path(model).is_relative_to(directory):
        cure = "bring the shared path back, then resume: a damaged checkpoint is trained again"
        return MachineError(f"a checkpoint cannot be loaded: {error.what}", error.where, cure)
    if isinstance(error, DaaError):
        return error
    if isinstance(error, OSError):
        return MachineError(f"an evaluation failed: {error}", model, "free some disk space, or bring the shared path back, then resume")
    return MachineError(f"an evaluation failed: {error!r}", model, f"see {directory / 'logs'}")


class Referee(Protocol):
    """Ends trials, or the whole search."""

    async def end(self, trial: str, status: Status, reason: str = "") -> None: ...

    async def complete(self, trial: str) -> None: ...

    async def spend_out(self, reason: str) -> None: ...


@dataclass(frozen=True)
class _Where:
    """A trial's checkpoint, and the file of its answers."""

    trial: str
    step: int
    checkpoint: str
    file: Path

    def as_dict(self) -> dict[str, Any]:
        """As the ledger names it."""
        return {"trial": self.trial, "step": self.step, "checkpoint": f"{self.checkpoint}/model"}


class Assessor:
    """Scores checkpoints in the background, a trial's one after another. Between two scores, the search says whether to go on."""

    def __init__(self, directory: Path, journal: Journal, bell: Bell, referee: Referee) -> None:
        self._directory, self._journal, self._bell, self._referee = directory, journal, bell, referee
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._heard: dict[str, tuple[int, int]] = {}
        self._in_hand: dict[str, int] = {}
        self._before_the_judge: set[str] = set()
        self._out_of_verdicts: str | None = None

    def use(self, settings: Settings, plan: SearchPlan, board: Board, scorer: Scorer, prompts: PromptSet, proxies: Proxies) -> None:
        """Work for a search; `prompts` are in the order that all trials share."""
        self._settings, self._board, self._scorer, self._prompts = settings, board, scorer, prompts
        self._rungs, self._pairs, self._proxies = plan.rungs, plan.pairs, proxies

    async def hear(self, trial: str, step: int, prompts: int) -> None:
        """The search knows a trial's scores up to this one, and goes on with it."""
        # Only for news: all who wait ask again at a bell, and would ring it for one another for ever.
        if self._heard.get(trial) != (step, prompts):
            self._heard[trial] = (step, prompts)
            await self._bell.ring()

    def is_asked_beyond(self, trial: str, step: int) -> bool:
        """True when the search has heard what there is to hear up to a step, and asks for what comes after it."""
        return self._heard.get(trial, (-1, 0))[0] >= step

    def is_last(self, trial: str, step: int) -> bool:
        """True for the last checkpoint of a trial's training."""
        return self.checkpoint_of(trial, step) == self._rungs[-1].checkpoint

    def checkpoint_of(self, trial: str, step: int) -> int:
        """Which of the trial's checkpoints is at this step, from 1."""
        training = self._board.records[trial].trial.training_settings(self._settings.training)
        return training.checkpoint_steps(self._pairs).index(step) + 1

    @property
    def is_judging(self) -> bool:
        """True while verdicts are on their way, or yet to be asked for."""
        return any(trial in self._before_the_judge or not self._is_dropped(trial) for trial in self._in_hand)

    def in_hand(self, trial: str) -> set[int]:
        """The step of the trial's checkpoint that is being answered or judged, if one is."""
        return {self._in_hand[trial]} if trial in self._in_hand else set()

    async def assess(self, trial: str, step: int, checkpoint: str) -> None:
        """Score a checkpoint on all of its rungs. A failure ends the search, unless the search has dropped the trial meanwhile."""
        async with self._turns[trial]:
            where = _Where(trial, step, checkpoint, RunFiles(self._directory).answers({"event": "score", "trial": trial, "step": step}))
            try:
                number = self.checkpoint_of(trial, step)
                await self._climb(where, [rung for rung in self._rungs if rung.checkpoint == number])
            except BudgetSpentError as error:
                await self._referee.spend_out(error.what)
            except UnreadableVerdictsError as error:
                # What it answers is beyond this judge; others' answers are not. The verdicts were paid for.
                await self._journal.write("unreadable", **where.as_dict(), asked=error.asked, cost=error.cost)
                await self._referee.end(trial, Status.CENSORED, error.what)
            # Nobody waits for this work, who would hear of anything that it raises.
            except Exception as error:
                if not self._is_over(trial):
                    await self._journal.give_up(explained(error, checkpoint, self._directory))

    async def _climb(self, where: _Where, rungs: Sequence[Rung]) -> None:
        if self._is_over(where.trial):
            return
        event = self._board.records[where.trial].scores.get(where.step)
        further = [rung for rung in rungs if event is None or rung.prompts > asked(event)]
        known = await self._recalled(where, event) if event and further else None
        for rung in further:
            await self._go_ahead(where.trial)
            try:
                known = None if self._is_over(where.trial) else await self._rung(where, rung, known, rung is rungs[-1])
            finally:
                self._in_hand.pop(where.trial, None)
                self._before_the_judge.discard(where.trial)
            if known is None:
                return
        await self._referee.complete(where.trial)

    async def _recalled(self, where: _Where, event: Event) -> Scored | None:
        """What the checkpoint's last score was made of; None, with a warning, where a disk has lost it."""
        try:
            return await self._scorer.recall(where.file, Scorecard.from_dict(event["scorecard"]), self._prompts)
        except (OSError, DataFormatError) as error:
            if not is_damage(error):
                raise
            logger.warning("the answers of %s at step %d are lost, and its prompts are answered again: %s", where.trial, where.step, error)
            return None

    async def _rung(self, where: _Where, rung: Rung, known: Scored | None, is_last: bool) -> Scored | None:
        """Score a checkpoint on so many prompts, and write it down; None when the trial ends here."""
        wanted = rung.prompts - (len(known.verdicts) if known else 0)
        if (spent := self._journal.exhausted(self._settings.budget, wanted)) is not None:
            if self._journal.exhausted(self._settings.budget.of_time()) is None:
                self._out_of_verdicts = spent
            await self._referee.spend_out(spent)
            return None
        self._in_hand[where.trial] = where.step
        with self._journal.set_aside(wanted):
            answered = await self._scorer.answer(f"{where.checkpoint}/model", self._prompts, known, rung.prompts)
            told = training_of(Path(where.checkpoint).parent, where.step)
            before = self._board.records[where.trial].scores.get(where.step)
            proxies = before["proxies"] if before else await self._proxies.measure(answered)
            if self._is_dropped(where.trial) or (before is None and not await self._is_worth_judging(where, told, proxies)):
                return None
            self._before_the_judge.add(where.trial)
            scored = await self._scorer.judge(answered, known)
        return await self._write_down(where, scored, {"training": told, "proxies": proxies, "whole": is_last})

    async def _write_down(self, where: _Where, scored: Scored, told: Mapping[str, Any]) -> Scored | None:
        """Keep what was judged, of a trial that is over meanwhile too: it was paid for. None for a vetoed checkpoint."""
        scored.save(where.file)
        event: dict[str, Any] = {**where.as_dict(), **told, **scored.numbers()}
        vetoed = [finding for finding in scored.gross if finding.guard in self._settings.evaluation.veto]
        if vetoed:
            await self._journal.write("veto", **event)
            await self._referee.end(where.trial, Status.CENSORED, f"vetoed at step {where.step}: {vetoed[0].detail}")
            return None
        await self._journal.write("score", **event)
        self._board.scored({"event": "score", **event})
        await self._bell.ring()
        return scored

    async def _is_worth_judging(self, where: _Where, told: Mapping[str, Any], proxies: Mapping[str, float]) -> bool:
        """Ask the ladder, the cheapest proxy first; a trial that a trusted one prunes ends here."""
        number = self.checkpoint_of(where.trial, where.step)
        for ruling in self._proxies.decide(where.trial, number, told, proxies, self._board):
            if not ruling.is_known:
                await self._journal.write("ladder", **where.as_dict(), checkpoint_number=number, **ruling.as_dict())
            if not ruling.decision.is_judged:
                await self._referee.end(
                    where.trial, Status.STOPPED, f"pruned by {ruling.rung} at step {where.step}: {ruling.decision.reason}"
                )
                return False
        return True

    async def _go_ahead(self, trial: str) -> None:
        """Wait until the search has heard the trial's last score."""
        while not self._is_over(trial):
            history = self._board.records[trial].history
            if not history or self._heard.get(trial, (0, 0)) >= (history[-1]["step"], asked(history[-1])):
                return
            await self._bell.wait()

    def _is_over(self, trial: str) -> bool:
        return self._board.records[trial].status.is_over or self._journal.fatal is not None

    def _is_dropped(self, trial: str) -> bool:
        """Whether no verdict on the trial is of use. Those that were set aside before others ran out of them are still asked for."""
        spared = self._out_of_verdicts is not None and self._board.records[trial].reason == self._out_of_verdicts
        return self._is_over(trial) and (self._journal.fatal is not None or not spared)

"""Trials that wait at their checkpoints until the search asks for more, and runs that take up another's training."""

import asyncio
import shutil
from pathlib import Path
from typing import Protocol

from orchestrator.cluster.hub.assessing import Assessor
from orchestrator.cluster.hub.journal import Journal
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board, Status
from orchestrator.search.trial import Origin, Trial
from orchestrator.settings import SearchSettings
from orchestrator.training.taking_over import take_over
from orchestrator.training.tidying import forget_engines, step_directory


class _Ends(Protocol):
    """Ends a trial."""

    async def end(self, trial: str, status: Status, reason: str = "") -> None: ...


class Pausing:
    """Under a scheduler that pauses trials, each gives its worker group back at every checkpoint but the last.

    It is queued again when whoever follows it asks for what comes after that checkpoint's score. So nothing is trained that the scheduler
    did not ask for, and a pause needs no message: nobody asks.
    """

    def __init__(self, directory: Path, search: SearchSettings, board: Board, assessor: Assessor, journal: Journal, ends: _Ends) -> None:
        self._runs, self._search, self._board = RunFiles(directory).checkpoints, search, board
        self._assessor, self._journal, self._ends = assessor, journal, ends

    async def goes_on(self, trial: str, step: int) -> bool:
        """Whether a trial that is at a checkpoint trains on; if not, it is over, or it is paused."""
        record = self._board.records[trial]
        if record.status.is_over:
            return False
        if not self._search.pauses or record.until is not None or self._assessor.is_asked_beyond(trial, step):
            return True
        if self._assessor.is_last(trial, step):
            return True
        if self._board.pause(trial):
            await self._journal.write("pause", trial=trial, step=step)
        return False

    async def heard(self, trial: str, step: int, prompts: int) -> None:
        """The search knows the trial's scores up to this one, and asks for the next."""
        record = self._board.records[trial]
        if not self._search.pauses or record.told > (step, prompts) or any(waiting > step for waiting in record.pending):
            return
        if self._board.resume(trial):
            await self._journal.write("resume", trial=trial, step=step)
        if self._search.takes_over:
            forget_engines(self._runs / trial, before=step)

    async def take_over(self, trial: Trial, origin: Origin, instead_of: str) -> bool:
        """Have a run start where `origin` says, paused, and end the one whose place it takes; False when the checkpoint is gone."""
        if trial.id not in self._board.records:
            checkpoint = step_directory(self._runs / origin.trial, origin.step)
            taken = await asyncio.to_thread(take_over, checkpoint, self._runs / trial.id)
            # A run that ended meanwhile may have been cleaned up half-way through.
            if not taken or self._board.records[origin.trial].status.is_over:
                shutil.rmtree(self._runs / trial.id, ignore_errors=True)
                return False
            self._board.submit(trial, start=origin.step)
            await self._journal.write("trial", trial=trial.id, **trial.as_event(), parent=origin.trial, from_step=origin.step)
        await self._ends.end(instead_of, Status.STOPPED, f"{trial.id} goes on in its place, from step {origin.step} of {origin.trial}")
        return True

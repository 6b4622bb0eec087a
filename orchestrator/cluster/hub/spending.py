"""When a bound of the budget is reached: what is under way ends, in the search, and once more in the finals."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from orchestrator.cluster.hub.journal import Journal
from orchestrator.search.board import Board, Status
from orchestrator.settings import BudgetSettings

_LOOKS_EVERY_S = 1.0
_T = TypeVar("_T")


class Referee(Protocol):
    """Ends trials."""

    async def end(self, trial: str, status: Status, reason: str = "") -> None: ...


class Purse:
    """Knows what may still be spent. The finals have what was kept back for them, so that a search which is spent out still plays them."""

    def __init__(self, journal: Journal, referee: Referee) -> None:
        self._journal, self._referee = journal, referee
        self._of_search: str | None = None
        self._of_finals: str | None = None
        self._finals_are_spent = asyncio.Event()
        self._in_finals = False

    def use(self, budget: BudgetSettings, board: Board) -> None:
        """Watch over the trials of a search."""
        self._budget, self._board = budget, board

    def take_up_finals(self) -> None:
        """What was kept back may be spent: the finals have begun."""
        self._in_finals = True
        self._journal.keep_back(0, 0)

    async def begin_finals(self) -> None:
        """Write down that they begin. Where nothing is left for them, they are over at once."""
        self.take_up_finals()
        await self._journal.write("finals")
        if (reason := self.exhausted()) is not None:
            await self.spend_out(reason)

    def ended(self, finals: bool) -> str | None:
        """The bound that ended the search, or the `finals`, in words; None while there is no such."""
        return self._of_finals if finals else self._of_search

    def exhausted(self, judgments: int = 0) -> str | None:
        """The bound that so many more verdicts would overstep, in words."""
        return self._journal.exhausted(self._budget, judgments)

    def time_is_up(self) -> str | None:
        """The bound of hours or GPU-hours that is reached, in words."""
        return self._journal.exhausted(self._budget.of_time())

    async def spend_out(self, reason: str) -> None:
        """A bound is reached: all trials end with what is known of them; in the finals their runs, which the search leaves alone."""
        # The finals may begin while this is written down: what ends the search ends none of their runs.
        in_finals = self._in_finals
        if self.ended(in_finals) is None:
            if in_finals:
                self._of_finals = reason
                self._finals_are_spent.set()
            else:
                self._of_search = reason
            await self._journal.write("spent", reason=reason, finals=in_finals, **self._journal.spent().as_dict())
        for trial, record in list(self._board.records.items()):
            if not record.status.is_over and (in_finals or record.until is None):
                await self._referee.end(trial, Status.STOPPED, reason)

    async def watch(self, is_closing: Callable[[], bool]) -> None:
        """Time passes whether or not anything is scored."""
        while not is_closing():
            await asyncio.sleep(_LOOKS_EVERY_S)
            if (reason := self.exhausted()) is not None:
                await self.spend_out(reason)

    async def while_finals_last(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """What the work comes to; None when a bound ends the finals first, and nobody waits for it any longer."""
        task = asyncio.create_task(work)
        end = asyncio.create_task(self._finals_are_spent.wait())
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if not task.done():
            task.cancel()
            return None
        return await task

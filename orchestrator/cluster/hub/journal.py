"""The hub's way to the ledger, and what it knows from it: how much is spent, and whether anything ended the search."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from orchestrator.cluster.asking import patiently
from orchestrator.errors import DaaError
from orchestrator.search.budget import Meter, Spent, exhausted, kept_back
from orchestrator.search.clock import now
from orchestrator.search.ledger import Event, SharedWriter
from orchestrator.settings import BudgetSettings

_POLL_S = 10.0


async def soon(event: Awaitable[Any]) -> None:
    """Wait, but not longer than a poll."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event, _POLL_S)


class Bell:
    """Wakes all who wait for news."""

    def __init__(self) -> None:
        self._news = asyncio.Condition()

    async def ring(self) -> None:
        """There is news."""
        async with self._news:
            self._news.notify_all()

    async def wait(self) -> None:
        """Return at the next news."""
        async with self._news:
            await self._news.wait()


class Background:
    """Work that nobody waits for; it is held on to until it is done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it in this process's event loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Journal:
    """Writes events, adds up what they cost, and keeps the first error that ended the search."""

    def __init__(self, ledger: Any, bell: Bell) -> None:
        # Shared here and not in the actor: one that does several things at once does not keep the order in which they were sent.
        self._ledger, self._bell = SharedWriter(partial(patiently, ledger.append)), bell
        self._meter = Meter()
        self._set_aside = 0
        self._kept_back = (0, 0, 1.0)
        self.fatal: DaaError | None = None

    def recall(self, events: Sequence[Event]) -> None:
        """Take up what was written before this process began."""
        self._meter = Meter(events)

    async def write(self, event: str, **values: Any) -> None:
        """Write to the ledger; a ledger that cannot be written ends the search, but never a conversation with workers half-way."""
        self._meter.add({"event": event, "time": now(), **values})
        try:
            await self._ledger.append(event, **values)
        except DaaError as error:
            self.fatal = self.fatal or error
            await self._bell.ring()

    async def give_up(self, error: DaaError) -> None:
        """End the search for this error."""
        self.fatal = self.fatal or error
        await self.write("fatal", what=error.what, where=error.where, cure=error.cure)
        await self._bell.ring()

    def spent(self) -> Spent:
        """What the search has spent until this moment."""
        return self._meter.spent(now())

    def keep_back(self, runs: int, judgments: int, price: float = 1.0) -> None:
        """Leave so much for trainings and verdicts that come last, each verdict at so many times its price; none of it once they begin."""
        self._kept_back = (runs, judgments, price)

    def exhausted(self, budget: BudgetSettings, judgments: int = 0) -> str | None:
        """The bound that so many more verdicts would overstep, in words; what is set aside and kept back counts as spent.

        Each of them is expected to cost what verdicts did so far.
        """
        wanted = judgments + self._set_aside
        expected = Spent(judgments=wanted, cost=wanted * self._meter.cost_of_judgment).plus(kept_back(self._meter, *self._kept_back))
        return exhausted(budget, self.spent().plus(expected))

    @contextmanager
    def set_aside(self, judgments: int) -> Iterator[None]:
        """Count verdicts as spent while they are asked for."""
        self._set_aside += judgments
        try:
            yield
        finally:
            self._set_aside -= judgments

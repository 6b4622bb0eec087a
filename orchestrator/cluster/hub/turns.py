"""Training and answering on the same GPUs, one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# After a checkpoint, whoever is woken by it has said what it wants by then.
_BREAK_S = 0.2


class Turns:
    """The worker group trains, or engines answer. Where both have GPUs of their own, nobody waits.

    Engines go first: the group gives its turn up at every checkpoint, and has it again when none of them works or waits.
    """

    def __init__(self, alternate: bool = False, training: bool = False) -> None:
        self._alternate, self._training = alternate, training
        self._answering = self._waiting = 0
        self._changed = asyncio.Condition()

    async def begin_training(self) -> None:
        """Wait until no engine works or waits."""
        if self._alternate:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._answering and not self._waiting)
                self._training = True

    async def end_training(self) -> None:
        """The group is at rest, or gone."""
        async with self._changed:
            self._training = False
            self._changed.notify_all()

    async def at_checkpoint(self) -> None:
        """Let engines work, and return when the group's next turn has come."""
        if self._alternate:
            await self.end_training()
            await asyncio.sleep(_BREAK_S)
            await self.begin_training()

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Within it the group does not train."""
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: not (self._alternate and self._training))
                self._answering += 1
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            async with self._changed:
                self._answering -= 1
                self._changed.notify_all()

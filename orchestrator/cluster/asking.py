"""Calls to an actor that may be restarting: ask again until a deadline, and raise its refusals as they were raised there.

The deadline is that of an actor that is away: however long one works before it dies, it is asked again.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError

from evals.event_loop import run_to_the_end
from orchestrator.errors import DaaError

DEADLINE_S = 600.0
_PAUSE_S = 1.0
Answer = TypeVar("Answer")


def ask(method: Any, *arguments: Any, deadline_s: float = DEADLINE_S) -> Any:
    """Call an actor's method and wait for the answer."""
    end: float | None = None
    while True:
        try:
            return ray.get(method.remote(*arguments))
        except RayTaskError as error:
            raise unwrapped(error) from error
        except RayActorError:
            end = end or time.monotonic() + deadline_s
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE_S)


async def patiently(method: Any, *arguments: Any, deadline_s: float = DEADLINE_S) -> Any:
    """`ask` for callers that are coroutines."""
    end: float | None = None
    while True:
        try:
            return await method.remote(*arguments)
        except RayTaskError as error:
            raise unwrapped(error) from error
        except RayActorError:
            end = end or time.monotonic() + deadline_s
            if time.monotonic() > end:
                raise
            await asyncio.sleep(_PAUSE_S)


def together(questions: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """The answers to several questions that are asked side by side, in the order of the questions. Raises the first error there is.

    Whoever is stopped meanwhile waits for none of them, unless a loop was running already, as in a notebook. Either way no thread is left
    behind that asks: one that asks Ray for something after it is left ends the process.
    """

    async def all_of_them() -> list[Answer]:
        return await asyncio.gather(*questions)

    return run_to_the_end(all_of_them())


def unwrapped(error: BaseException) -> BaseException:
    """The project's own error inside what Ray makes of it, however many actors it passed through; other errors stay as they are."""
    inner = error
    while isinstance(inner, RayTaskError) and isinstance(inner.cause, BaseException):
        inner = inner.cause
    return inner if isinstance(inner, DaaError) else error

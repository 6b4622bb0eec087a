"""Calls to an actor that may be restarting: ask again until a deadline."""

import asyncio
import time
from typing import Any

import ray
from ray.exceptions import RayActorError

DEADLINE_S = 600.0
_PAUSE_S = 1.0


def ask(method: Any, *arguments: Any, deadline_s: float = DEADLINE_S) -> Any:
    """Call an actor's method and wait for the answer."""
    end = time.monotonic() + deadline_s
    while True:
        try:
            return ray.get(method.remote(*arguments))
        except RayActorError:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE_S)


async def patiently(method: Any, *arguments: Any, deadline_s: float = DEADLINE_S) -> Any:
    """`ask` for callers that are coroutines."""
    end = time.monotonic() + deadline_s
    while True:
        try:
            return await method.remote(*arguments)
        except RayActorError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(_PAUSE_S)

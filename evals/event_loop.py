"""Coroutines that callers wait for who are none themselves."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns. Where a loop is running already, in an actor or a notebook, it has a thread with a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()

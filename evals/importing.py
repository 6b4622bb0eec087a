"""Importing large libraries."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Look for no unreachable objects meanwhile, nor ever again among those that are there at the end: modules stay.

    An engine's import makes a million objects; looking through them again and again is a fifth of its time, and a quarter of a second of
    every later collection.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()

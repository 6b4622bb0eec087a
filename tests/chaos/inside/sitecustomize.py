"""Python reads this as it starts, in each process of a chaos search: the ground has files while the disk is slow, or the clock wrong."""

import os
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

_WAIT_S, _AHEAD_S = 2.0, 86_400.0
_LOOKS_EVERY_S = 0.1


def _slow(call: Callable[..., Any], flag: str) -> Callable[..., Any]:
    """A call that takes its time while the flag is there."""

    def slowly(*arguments: Any, **named: Any) -> Any:
        if os.path.exists(flag):
            time.sleep(_WAIT_S)
        return call(*arguments, **named)

    return slowly


def _wrong(clock: Callable[[], float], flag: str) -> Callable[[], float]:
    """A clock that is ahead while the flag is there."""
    looked, ahead = -1.0, 0.0

    # Under the name of the one that it stands for, by which it is pickled.
    @wraps(clock)
    def wrongly() -> float:
        nonlocal looked, ahead
        if time.monotonic() > looked + _LOOKS_EVERY_S:
            looked, ahead = time.monotonic(), _AHEAD_S if os.path.exists(flag) else 0.0
        return clock() + ahead

    return wrongly


if _ground := os.environ.get("DAA_CHAOS_GROUND"):
    os.fsync, os.replace, os.mkdir = (_slow(call, f"{_ground}.slow") for call in (os.fsync, os.replace, os.mkdir))
    time.time = _wrong(time.time, f"{_ground}.clock")

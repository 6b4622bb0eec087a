"""Python reads this as it starts, in each process of a chaos search: while the file that is named says so, the disk takes its time."""

import os
import time
from collections.abc import Callable
from typing import Any

_WAIT_S = 2.0


def _slow(call: Callable[..., Any], while_there: str) -> Callable[..., Any]:
    def slowly(*arguments: Any, **named: Any) -> Any:
        if os.path.exists(while_there):
            time.sleep(_WAIT_S)
        return call(*arguments, **named)

    return slowly


if _flag := os.environ.get("DAA_CHAOS_SLOW"):
    os.fsync, os.replace, os.mkdir = (_slow(call, _flag) for call in (os.fsync, os.replace, os.mkdir))

"""The time of day, without its jumps."""

import time

HOUR = 3600.0  # In seconds.
_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Seconds since the epoch, counted steadily from the start of this process: a clock that is set meanwhile spends no budget."""
    return _EPOCH + time.monotonic()

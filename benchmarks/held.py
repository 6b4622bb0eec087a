"""What a process holds: how much a long run leaves behind is the difference of two moments."""

import gc
import os
import resource
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """What a process holds at a moment."""

    memory_mb: float
    files: int

    @staticmethod
    def now() -> "Held":
        """Of this process."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return Held(pages * resource.getpagesize() / 1e6, len(os.listdir("/proc/self/fd")))


def peak_mb() -> float:
    """The most memory that this process held. What getrusage tells begins with what its parent held when it started the process."""
    told = Path("/proc/self/status").read_text(encoding="ascii")
    return int(told.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

"""What a command costs in processor time, measured against what this machine needs for the libraries that every command imports."""

import resource
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# On the machine that imports them in 0.17 s, five times that is under a second.
_LIBRARIES = "import pydantic, rich.console, rich.table, typer"
_TIMES = 5


def is_quick(run: Callable[[], Found]) -> tuple[bool, Found]:
    """Run a child process, and tell whether it took less than five times the imports alone; a busy machine lengthens neither."""
    before = _children_seconds()
    subprocess.run([sys.executable, "-c", _LIBRARIES], check=True)
    between = _children_seconds()
    found = run()
    return _children_seconds() - between < _TIMES * (between - before), found


def _children_seconds() -> float:
    """Processor seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

"""Whose words reach the screen: ours. Libraries write to log files."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def send_output_to(log: Path) -> None:
    """Point this process's output, that of its C libraries and children included, at a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


@contextmanager
def screen_kept_from(log: Path) -> Iterator[TextIO]:
    """Send this process's output to `log` and yield the screen itself, to write to."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    screen = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace", buffering=1)
    send_output_to(log)
    try:
        yield screen
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        screen.close()
        for number, copy in enumerate(saved, 1):
            os.dup2(copy, number)
            os.close(copy)

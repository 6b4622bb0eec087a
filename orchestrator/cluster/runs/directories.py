"""A run's directory: one command at a time is at work in it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.report.narration import Narrator, narrated
from orchestrator.run_files import RunFiles


@contextmanager
def at_work(directory: Path, is_search: bool = False) -> Iterator[Narrator]:
    """Hold a directory and tell what happens in it: on the screen, and everything else in its `logs`.

    Raises UserError for a directory that cannot be written, or in which another command is at work.
    """
    with alone_in(directory), narrated(RunFiles(directory).log("driver"), is_search) as story:
        yield story


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Hold a directory until this process leaves it or dies, against others on this machine and all that share the file system's locks.

    Raises UserError for a directory that cannot be written, or that another one holds.
    """
    try:
        RunFiles(directory).logs.mkdir(parents=True, exist_ok=True)
        held = os.open(RunFiles(directory).logs / "driver.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"the directory cannot be written: {error}", str(directory), "give another one with --dir") from error
    try:
        _hold(held, directory)
        yield
    finally:
        os.close(held)


def _hold(file: int, directory: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 1000).decode(errors="replace") or "another process"
        cure = "wait until it has ended, stop it, or choose another --dir"
        raise UserError(f"another command is at work in this directory: {holder}", str(directory), cure, code="DAA-0713") from None
    except OSError:
        # A shared file system without locks: who starts two is not told.
        return
    # A full disk is told by what needs the room.
    with suppress(OSError):
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())

"""What the screen shows of an error: a few lines, and where its traceback lies."""

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator

from rich.markup import escape

from evals.secrets import redacted
from orchestrator.errors import DaaError, MachineError
from orchestrator.report.plain_text import visible
from orchestrator.report.terminal import console

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_GONE = {errno.EIO, errno.EROFS, errno.ESTALE}
_WIDTH_OF_A_PIPE = 160
_RESUME = "then give the command again; a search goes on with `daa search --resume DIR`"


def as_told(error: Exception) -> DaaError:
    """The error as a user is told it: one of ours is that already, and what a disk fails at has a cure."""
    if isinstance(error, DaaError):
        return error
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in _FULL | _GONE:
            cure = f"make room there, {_RESUME}" if each.errno in _FULL else f"bring the disk back, {_RESUME}"
            where = str(each.filename or "the log has its place")
            return MachineError(f"a file cannot be read or written: {os.strerror(each.errno)}", where, cure, code="DAA-0703")
    return MachineError(f"unexpected: {error!r}"[:600], cure="this is a fault of daa or of a library: the log has its place")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from; Ray keeps what another process raised as its `cause`."""
    origin: BaseException | None = error
    passed: set[int] = set()
    while origin is not None and id(origin) not in passed:
        passed.add(id(origin))
        yield origin
        cause = getattr(origin, "cause", None)
        origin = cause if isinstance(cause, BaseException) else origin.__cause__


def explain(message: DaaError, error: Exception) -> None:
    """Show a message on the standard error stream, with its code and the log that has the traceback of `error`."""
    text = f"[bold red]error {message.code}:[/bold red] {escape(redacted(str(message)))}\n  [dim]log:   {_logged(error)}[/dim]"
    console(sys.stderr, _WIDTH_OF_A_PIPE).print(text, soft_wrap=True)


def _logged(error: Exception) -> str:
    """The file with the traceback; where the disk has no room for it, it is told so."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="daa-error-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(visible(redacted("".join(traceback.format_exception(error)))))
    except OSError as failure:
        return f"could not be written: {failure.strerror}"
    return file.name

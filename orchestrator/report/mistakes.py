"""What the screen shows of an error: a few lines, and where its traceback lies."""

import tempfile
import traceback
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from evals.secrets import redacted
from orchestrator.errors import DaaError


def explain(message: DaaError, error: Exception) -> None:
    """Show a message on the standard error stream, with its code and the log that has the traceback of `error`."""
    log = _fresh_log()
    log.write_text(redacted("".join(traceback.format_exception(error))), encoding="utf-8")
    text = f"[bold red]error {message.code}:[/bold red] {escape(redacted(str(message)))}\n  [dim]log:   {log}[/dim]"
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def _fresh_log() -> Path:
    with tempfile.NamedTemporaryFile(prefix="daa-error-", suffix=".log", delete=False) as file:
        return Path(file.name)

"""What several commands take: a settings file, and the directory that a run writes to."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

Directory = Annotated[Path | None, typer.Option("--dir", help="Where the run writes. Default: runs/NAME-TIME.")]
SettingsFile = Annotated[Path, typer.Argument(help="A TOML settings file; jobs/examples has some.")]


def fresh_directory(name: str) -> Path:
    """A directory below runs/ that no other run has."""
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"

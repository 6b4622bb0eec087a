"""A single training where people watch it: on the screen, and in TensorBoard's files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.report.narration import narrator
from orchestrator.report.progress import Progress
from orchestrator.report.tensorboard import TENSORBOARD, EventFile
from orchestrator.run_files import RunFiles
from orchestrator.training.records import scalars


@contextmanager
def watched(run: Any, directory: Path) -> Iterator[None]:
    """While a run is trained below `directory`, follow the records that it writes."""
    events = EventFile(directory / TENSORBOARD / run.directory.relative_to(RunFiles(directory).checkpoints))

    def hear(record: Mapping[str, Any]) -> None:
        events.add(scalars(record), record["step"])
        events.flush()

    try:
        with narrator().training(Progress(run.directory, run.steps, hear)):
            yield
    finally:
        # What a full disk keeps from these files is in the records.
        with suppress(OSError):
            events.close()

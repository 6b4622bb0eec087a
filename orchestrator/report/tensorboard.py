"""A run's figures in an event file of TensorBoard's."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TENSORBOARD = "tensorboard"


class EventFile:
    """Written by the caller itself: tensorboardX's own writer has a thread, and waits for it for ever once a full disk has ended it."""

    def __init__(self, directory: Path) -> None:
        """A further file in a run's directory. Raises OSError, as all of it does."""
        from tensorboardX.event_file_writer import EventsWriter

        directory.mkdir(parents=True, exist_ok=True)
        self._events = EventsWriter(str(directory / "events"))

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Add figures by their names, at a step."""
        from tensorboardX.summary import scalar

        for name, value in figures.items():
            self._write(scalar(name, value), step)

    def add_text(self, name: str, markdown: str) -> None:
        """Add a text."""
        from tensorboardX.summary import text

        self._write(text(name, markdown), 0)

    def flush(self) -> None:
        """Have what was added reach the disk."""
        self._events.flush()

    def close(self) -> None:
        """Flush, and add no more."""
        self._events.close()

    def _write(self, summary: Any, step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        self._events.write_event(Event(wall_time=time.time(), step=step, summary=summary))

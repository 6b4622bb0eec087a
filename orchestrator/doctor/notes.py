"""A small file in a directory that several machines should share: written by one, read by the others, removed."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from orchestrator.doctor.facts import existing
from orchestrator.errors import MachineError

_CURE = "give a directory that this user may write on every node (`cache` in the settings, --dir)"


@dataclass(frozen=True)
class Note:
    """A file with a text that nobody else has. `directory` is the one asked for or, where that is not there yet, the nearest above."""

    directory: str
    name: str
    text: str

    @property
    def file(self) -> Path:
        """Where it lies."""
        return Path(self.directory) / self.name


def write(path: str, by: str) -> Note:
    """Leave a note in the directory, or in the nearest one above it that is there. Raises MachineError where nothing can be written."""
    try:
        note = Note(str(existing(Path(path))), f".daa-doctor-{uuid.uuid4().hex}", f"by {by}")
        note.file.write_text(note.text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"nothing can be written there: {error.strerror or error}", path, _CURE) from error
    return note


def can_read(note: Note) -> bool:
    """Whether the note is here too."""
    try:
        return note.file.read_text(encoding="utf-8") == note.text
    except OSError:
        return False


def remove(note: Note) -> None:
    """Take it away, if it is here."""
    note.file.unlink(missing_ok=True)

"""Files that are there whole or not at all, whatever ends the process that writes them."""

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(file: Path) -> Iterator[IO[str]]:
    """The file's next content, which takes its place when it is whole."""
    with _beside(file) as partial, partial.open("w", encoding="utf-8", newline="") as lines:
        yield lines


@contextmanager
def replacing_bytes(file: Path) -> Iterator[IO[bytes]]:
    """As `replacing`, and the content is on the disk before it takes the place of what was there."""
    with _beside(file) as partial, partial.open("wb") as content:
        yield content
        content.flush()
        os.fsync(content.fileno())


def save_json(file: Path, value: Any, indent: int | None = 2) -> None:
    """Write one value for people and programs to read."""
    with replacing(file) as content:
        content.write(json.dumps(value, indent=indent) + "\n")


def save_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines, in the letters of the texts."""
    with replacing(file) as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Machines that share a file system have processes of the same number.
    partial = file.with_name(f".{file.name}.{socket.gethostname()}-{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)

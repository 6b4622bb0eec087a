"""Files and directories that are there whole or not at all, whatever ends the process that writes them."""

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(file: Path) -> Iterator[IO[str]]:
    """The file's next content, which takes its place when it is whole."""
    with written_beside(file) as partial, partial.open("w", encoding="utf-8", newline="") as lines:
        yield lines


@contextmanager
def written_beside(file: Path) -> Iterator[Path]:
    """Where to write the file's next content, of whatever kind; it takes the file's place when the block ends without an error.

    An OSError that names no file, as that of a write to a full disk, names this one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        os.replace(partial, file)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(file)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_bytes(file: Path) -> Iterator[IO[bytes]]:
    """As `replacing`, and the content is on the disk before it takes the place of what was there."""
    with written_beside(file) as partial, partial.open("wb") as content:
        yield content
        content.flush()
        os.fsync(content.fileno())


@contextmanager
def making(directory: Path) -> Iterator[Path]:
    """A directory to fill, which gets its name when that is done; nothing is left of it when something else happens."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        os.replace(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def without_nan(value: Any) -> Any:
    """The same JSON-ready value with null for every float that is no number, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_json(file: Path, value: Any, indent: int | None = 2) -> None:
    """Write one value for people and programs to read."""
    with replacing_bytes(file) as content:
        content.write(json.dumps(value, indent=indent).encode() + b"\n")


def save_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines, in the letters of the texts."""
    with replacing(file) as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

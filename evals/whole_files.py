"""Files and directories that are there whole or not at all, whatever ends the process that writes them."""

import fcntl
import glob
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_LOCK = ".lock"


@contextmanager
def replacing(file: Path) -> Iterator[IO[str]]:
    """The file's next content, which takes its place when it is whole."""
    with written_beside(file) as partial, partial.open("w", encoding="utf-8", newline="") as lines:
        yield lines


@contextmanager
def replacing_bytes(file: Path) -> Iterator[IO[bytes]]:
    """As `replacing`, in bytes."""
    with written_beside(file) as partial, partial.open("wb") as content:
        yield content


@contextmanager
def written_beside(file: Path) -> Iterator[Path]:
    """Where to write the file's next content, of whatever kind; it takes the file's place when the block ends without an error.

    It is on the disk then, and so is its name: what is written later never outlives it. An OSError that names no file, as that of a
    write to a full disk, names this one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        sync(partial)
        os.replace(partial, file)
        _sync_names(file.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(file)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def making(directory: Path) -> Iterator[Path]:
    """A directory to fill, which gets its name when that is done and all of it is on the disk; nothing is left of it when something else
    happens. What a killed process left of the same directory is removed.
    """
    _remove_left_behind(directory)
    partial, lock = _begun(directory)
    try:
        yield partial
        (partial / _LOCK).unlink()
        put_in_place(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def put_in_place(partial: Path, directory: Path) -> None:
    """Give a directory its name when all of it is on the disk."""
    sync_all(partial)
    give_name(partial, directory)


def give_name(partial: Path, directory: Path) -> None:
    """Give its name to a directory that is on the disk, and wait until the name is there, too."""
    os.replace(partial, directory)
    _sync_names(directory.parent)


def is_damage(error: Exception) -> bool:
    """Whether an error of reading, Arrow's too, is about a file that is gone or damaged. One about a disk that fails has a number."""
    return isinstance(error, FileNotFoundError) or getattr(error, "errno", None) is None


def sync_all(directory: Path) -> None:
    """Wait until everything in a directory is on the disk."""
    for place, _, names in os.walk(directory):
        for name in names:
            sync(Path(place, name))
        _sync_names(Path(place))


def sync(place: Path) -> None:
    """Wait until a file's content is on the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_names(directory: Path) -> None:
    # Some file systems refuse it for a directory, whose names they keep by themselves.
    with suppress(OSError):
        sync(directory)


def _begun(directory: Path) -> tuple[Path, int]:
    """An empty directory beside this one, and the lock of the process that fills it. Only when that is held is its name one to remove."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    begun = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    begun.mkdir()
    lock = os.open(begun / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    # Without locks, as some shared file systems are, nobody removes anything.
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX)
    return begun.rename(begun.with_name(f"{begun.name}.partial")), lock


def _remove_left_behind(directory: Path) -> None:
    """Remove what processes began to fill that are gone: their locks went with them."""
    for partial in directory.parent.glob(f".{glob.escape(directory.name)}.*.partial"):
        with suppress(OSError), (partial / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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

"""Replies in an append-only file that processes and machines share, millions of them: found by key without reading the file."""

import fcntl
import json
import os
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np

from evals.asking import ChatModel, Question, Reply
from evals.chat_models.reply_table import Places, ReplyTable, write_table
from evals.errors import DataFormatError

# So many places are kept in memory, and read from the lines when a file is opened, before they go to the table.
LONGEST_TAIL = 50_000
_BATCH = 1_000_000
_A_LINE = 4096
# As `append` writes a line; any other order of its fields is read as JSON.
_KEY = re.compile(rb'\{"key": "([^"\\]*)", ')
_MODEL = re.compile(rb'\{"key": "[^"\\]*", ("model": ".*?", "identity": ".*?"), "id": "')


class ReplyFile:
    """Replies by key, one JSON object a line. A line that a killed process left unfinished is skipped, and asked for again.

    The lines are the truth. Where they lie is known from a table beside the file, and of the lines after those from memory.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._forget()

    def get(self, key: str) -> Reply | None:
        """The reply under a key, among all that the file had at the last `refresh` and what was appended here since."""
        number = _number(key)
        try:
            return self._found(key, number)
        except OSError:
            # Another machine has put a longer table in the place of ours, and this one's file system has lost the old one.
            self._forget()
            self.refresh()
            return self._found(key, number)

    def refresh(self) -> None:
        """Take notice of what was appended since the last time, by whichever process."""
        if not self.file.is_file():
            return
        # Opened anew: a file system that machines share promises only then to show what others wrote.
        lines = self.file.open("rb")
        if self._lines is None or self._is_another(lines, self._lines):
            self._forget()
            self._table = ReplyTable.opened(self._table_file, lines)
            self._read_to = self._table.end if self._table else 0
        else:
            self._lines.close()
        self._lines = lines
        while not self._take_lines(lines):
            pass

    def append(self, key: str, model: ChatModel, question: Question, reply: Reply) -> None:
        """Add one reply; it is in the file when this returns."""
        line = line_of(key, model, question, reply)
        with self._locked() as descriptor:
            # A process killed in the middle of its line left no end to it.
            size = os.fstat(descriptor).st_size
            is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            whole = b"\n" + line if is_cut else line
            while whole:
                whole = whole[os.write(descriptor, whole) :]
        self._note(_number(key), size + is_cut)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # Without locks, as some shared file systems are: a line is written at once, and readers pass over one that is torn.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _forget(self) -> None:
        self._lines: IO[bytes] | None = None
        self._table: ReplyTable | None = None
        self._recent: dict[int, tuple[int, ...]] = {}
        self._read_to = 0

    @property
    def _table_file(self) -> Path:
        return self.file.with_suffix(".index")

    def _is_another(self, lines: IO[bytes], known: IO[bytes]) -> bool:
        """Whether the file was put in the place of the one that is known, or cut."""
        found = os.fstat(lines.fileno())
        return not os.path.samestat(found, os.fstat(known.fileno())) or found.st_size < self._read_to

    def _take_lines(self, lines: IO[bytes]) -> bool:
        """Read on and note where lines lie; False when there may be more of them."""
        places, end = _scanned(lines, self._read_to)
        if len(self._recent) + len(places) > LONGEST_TAIL:
            # A table that cannot be written, on a full disk say, leaves the places in memory.
            with suppress(OSError):
                if not self._take_longer_table(lines):
                    self._write_table(lines, places, end)
                return False
        for number, offset in places.tolist():
            self._note(number, offset)
        self._read_to = end
        return len(places) < _BATCH

    def _take_longer_table(self, lines: IO[bytes]) -> bool:
        """Use the table that another process has written meanwhile; False when there is none that says more than ours."""
        table = ReplyTable.opened(self._table_file, lines)
        if table is None or table.end <= (self._table.end if self._table else 0):
            return False
        after = {number: tuple(offset for offset in offsets if offset >= table.end) for number, offsets in self._recent.items()}
        self._recent = {number: offsets for number, offsets in after.items() if offsets}
        self._table, self._read_to = table, max(self._read_to, table.end)
        return True

    def _write_table(self, lines: IO[bytes], places: Places, end: int) -> None:
        """Put all places that are read into a table."""
        known = [(number, offset) for number, offsets in self._recent.items() for offset in offsets if offset < self._read_to]
        write_table(self._table_file, lines, self._table, np.concatenate([np.array(known, np.uint64).reshape(-1, 2), places]), end)
        # Another process may have put its own in the place of ours at once: no line is passed over, whosever it is.
        table = ReplyTable.opened(self._table_file, lines)
        self._recent, self._table, self._read_to = {}, table, table.end if table else 0

    def _note(self, number: int, offset: int) -> None:
        known = self._recent.get(number, ())
        if offset not in known:
            self._recent[number] = (*known, offset)

    def _found(self, key: str, number: int) -> Reply | None:
        """Numbers are shared by lines that were cut off and by keys that agree by chance: the line itself decides."""
        offsets = (*(self._table.offsets(number) if self._table else ()), *self._recent.get(number, ()))
        if not offsets:
            return None
        if self._lines is None:
            self.refresh()
        found = (self._at(offset, key) for offset in reversed(offsets))
        return next((reply for reply in found if reply is not None), None)

    def _at(self, offset: int, key: str) -> Reply | None:
        line, more = bytearray(), b""
        while self._lines is not None and b"\n" not in more:
            more = os.pread(self._lines.fileno(), max(_A_LINE, len(line)), offset + len(line))
            if not more:
                return None
            line += more
        row = _row(bytes(line).partition(b"\n")[0])
        try:
            return Reply(**row["reply"]) if row.get("key") == key else None
        except (KeyError, TypeError):
            return None


def line_of(key: str, model: ChatModel, question: Question, reply: Reply) -> bytes:
    """A reply as a file has it."""
    row = {"key": key, "model": model.name, "identity": model.identity, "id": question.id, "reply": asdict(reply)}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def models_of(file: Path) -> set[tuple[str, str]]:
    """Name and identity of the models whose replies a file holds. Raises DataFormatError where there is no such file."""
    if not file.is_file():
        raise DataFormatError(f"there is no file {file}", cure="give a file of replies, as an evaluation leaves it under `replies`")
    with file.open("rb") as lines:
        # Millions of lines, and seldom more than one model: what lines say of it is told apart before it is read.
        said = {found[1] if (found := _MODEL.match(line)) else line for line in lines}
    rows = (_row(b"{" + each + b"}" if each.startswith(b'"model"') else each) for each in said)
    return {(row["model"], row["identity"]) for row in rows if "identity" in row}


def _scanned(lines: IO[bytes], start: int) -> tuple[Places, int]:
    """Where the lines from `start` on lie, so many at most, and the end of the last whole one."""
    numbers, offsets, end = array("Q"), array("Q"), start
    lines.seek(start)
    for line in lines:
        if not line.endswith(b"\n"):
            break
        key = _key_of(line)
        if key is not None:
            numbers.append(_number(key))
            offsets.append(end)
        end += len(line)
        if len(numbers) == _BATCH:
            break
    return np.column_stack([np.frombuffer(numbers, np.uint64), np.frombuffer(offsets, np.uint64)]), end


def _key_of(line: bytes) -> bytes | None:
    found = _KEY.match(line)
    if found is not None and line.endswith(b"}\n"):
        return found[1]
    key = _row(line).get("key")
    return key.encode() if isinstance(key, str) else None


def _row(line: bytes) -> dict[str, Any]:
    """What a line says: nothing, where it was cut off."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _number(key: str | bytes) -> int:
    return int.from_bytes(blake2b(key.encode() if isinstance(key, str) else key, digest_size=8).digest(), "big")

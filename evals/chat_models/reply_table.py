"""Where replies lie in their file: a sorted table beside it, of which a lookup reads one small part, as in the index of a Git pack.

The file of replies is the truth; the table covers its beginning, is replaced whole, and is made again when it is lost. Nothing of it is
locked or mapped into memory, since machines may share the file system: a mapped file that another machine replaces kills its reader.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from evals.whole_files import replacing_bytes

# Rows of (number, offset): a reply's number is the first 64 bits of a hash of its key, the offset that of its line.
Places = npt.NDArray[np.uint64]

_TYPE = np.dtype("<u8")
_ROW = 2 * _TYPE.itemsize
# Magic, rows, how much of the replies is covered, how they begin.
_HEAD = struct.Struct("<16sQQ96s")
_MAGIC = b"daa replies 1"
# Rows are found by the first 16 bits of their number: `ends` has where those of each value end.
_BUCKETS, _SHIFT = 1 << 16, 48
_FIRST_ROW = _HEAD.size + _BUCKETS * _TYPE.itemsize
_AT_ONCE = 1 << 20


class ReplyTable:
    """An opened table: it covers the replies up to `end`, and stays readable when another takes its place."""

    def __init__(self, file: IO[bytes], rows: int, end: int) -> None:
        self.rows, self.end, self._file = rows, end, file
        ends = np.frombuffer(os.pread(file.fileno(), _FIRST_ROW - _HEAD.size, _HEAD.size), _TYPE)
        self._ends = np.concatenate([np.zeros(1, _TYPE), ends])

    @staticmethod
    def opened(path: Path, replies: IO[bytes]) -> "ReplyTable | None":
        """The table at `path`; None where there is none that is whole and of this file of replies."""
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        head = file.read(_HEAD.size)
        if len(head) == _HEAD.size:
            magic, rows, end, start = _HEAD.unpack(head)
            is_whole = magic.rstrip(b"\0") == _MAGIC and os.fstat(file.fileno()).st_size == _FIRST_ROW + rows * _ROW
            if is_whole and start == _start(replies, end) and os.pread(replies.fileno(), 1, end - 1) == b"\n":
                return ReplyTable(file, rows, end)
        file.close()
        return None

    def offsets(self, number: int) -> list[int]:
        """Where lines of this number begin."""
        first, last = self._ends[number >> _SHIFT : (number >> _SHIFT) + 2].tolist()
        rows = self._read(first, last)
        return rows[rows[:, 0] == number, 1].tolist()

    def parts(self) -> Iterator[Places]:
        """All rows in order, so many at once."""
        for first in range(0, self.rows, _AT_ONCE):
            yield self._read(first, min(self.rows, first + _AT_ONCE))

    def _read(self, first: int, last: int) -> Places:
        return np.frombuffer(os.pread(self._file.fileno(), (last - first) * _ROW, _FIRST_ROW + first * _ROW), _TYPE).reshape(-1, 2)


def write_table(path: Path, replies: IO[bytes], before: ReplyTable | None, added: Places, end: int) -> None:
    """Write a table of all rows of `before` and those that are added, which covers the replies up to `end`.

    Processes may do so at the same moment: each table is right, and the last one stays.
    """
    rows, counts = 0, np.zeros(_BUCKETS, np.int64)
    with replacing_bytes(path) as content:
        content.seek(_FIRST_ROW)
        for part in _merged(before, added[np.argsort(added[:, 0], kind="stable")]):
            content.write(part.tobytes())
            rows += len(part)
            counts += np.bincount((part[:, 0] >> np.uint64(_SHIFT)).astype(np.int64), minlength=_BUCKETS)
        content.seek(0)
        content.write(_HEAD.pack(_MAGIC, rows, end, _start(replies, end)))
        content.write(np.cumsum(counts).astype(_TYPE).tobytes())


def _merged(before: ReplyTable | None, added: Places) -> Iterator[Places]:
    for part in before.parts() if before else ():
        until = np.searchsorted(added[:, 0], part[-1, 0], "right")
        among, added = added[:until], added[until:]
        yield np.insert(part, np.searchsorted(part[:, 0], among[:, 0], "right"), among, axis=0)
    yield added


def _start(replies: IO[bytes], end: int) -> bytes:
    """How the file begins, the first key included: what tells it from another of its name."""
    return os.pread(replies.fileno(), min(96, end), 0).ljust(96, b"\0")

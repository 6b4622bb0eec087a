"""A file of replies is found by key without being read, whoever writes to it and whatever becomes of the table beside it."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.asking import Keep, Question, Reply, forget
from evals.chat_models import reply_file
from evals.chat_models.reply_file import ReplyFile, models_of
from evals.chat_models.reply_table import ReplyTable
from evals.prompts import Message

QUESTION = Question("p", (Message("user", "?"),))
WRITE = """
import sys
from pathlib import Path
from evals.chat_models import reply_file
from tests.evals.test_reply_file import QUESTION, Named
reply_file.LONGEST_TAIL = 20
replies = reply_file.ReplyFile(Path(sys.argv[1]))
for number in range(300):
    replies.refresh()
    replies.append(f"{sys.argv[2]}-{number}", Named(), QUESTION, reply_file.Reply(f"{sys.argv[2]} {number}"))
"""


class Named:
    """A model that is only named."""

    name, identity = "named", "named 1"
    repeats_itself = True

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are made of few lines, in several batches."""
    monkeypatch.setattr(reply_file, "LONGEST_TAIL", 40)
    monkeypatch.setattr(reply_file, "_BATCH", 150)


def written(file: Path, count: int, first: int = 0) -> ReplyFile:
    """A file with replies to so many keys, each named after its text."""
    replies = ReplyFile(file)
    for number in range(first, first + count):
        replies.append(f"key {number}", Named(), QUESTION, Reply(f"ä {number} " + "long " * (number % 7) * 300))
    return replies


def known(replies: ReplyFile, count: int) -> list[int]:
    """Which of the first keys have their own reply."""
    replies.refresh()
    found = [(number, replies.get(f"key {number}")) for number in range(count)]
    return [number for number, reply in found if reply is not None and reply.text.startswith(f"ä {number} ")]


def file_until(file: Path, end: int) -> list[bytes]:
    """The lines before a place."""
    return file.read_bytes()[:end].splitlines()


@pytest.mark.parametrize("count", [1, 40, 41, 150, 151, 1000])
def test_every_reply_is_found_and_no_other_key(tmp_path: Path, count: int) -> None:
    file = tmp_path / "r.jsonl"
    written(file, count)
    assert known(ReplyFile(file), count + 20) == list(range(count))
    assert (tmp_path / "r.index").exists() == (count > 40)


def test_a_file_that_is_opened_again_reads_only_the_lines_after_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "r.jsonl"
    written(file, 500).refresh()
    written(file, 30, first=500)
    read: list[bytes] = []
    key_of = reply_file._key_of
    monkeypatch.setattr(reply_file, "_key_of", lambda line: read.append(line) or key_of(line))
    assert known(ReplyFile(file), 530) == list(range(530))
    assert len(read) <= 30


def test_what_is_appended_is_known_at_once_before_and_after_it_is_in_the_table(tmp_path: Path) -> None:
    replies = ReplyFile(tmp_path / "r.jsonl")
    for number in range(200):
        assert replies.get(f"key {number}") is None
        replies.append(f"key {number}", Named(), QUESTION, Reply(f"ä {number} "))
        assert replies.get(f"key {number}") is not None
        if number % 30 == 0:
            replies.refresh()
    assert known(replies, 200) == list(range(200))
    with replies.file.open("rb") as lines:
        table = ReplyTable.opened(tmp_path / "r.index", lines)
    assert table is not None
    assert table.rows == len(file_until(replies.file, table.end))


@pytest.mark.parametrize("damage", ["lost", "cut", "empty", "other"])
def test_a_table_that_is_lost_or_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    file, table = tmp_path / "r.jsonl", tmp_path / "r.index"
    written(file, 300).refresh()
    whole = table.read_bytes()
    if damage == "lost":
        table.unlink()
    else:
        table.write_bytes({"cut": whole[:-8], "empty": b"", "other": b"x" * len(whole)}[damage])
    assert known(ReplyFile(file), 300) == list(range(300))
    assert table.read_bytes() == whole


def test_the_table_of_another_file_is_not_believed(tmp_path: Path) -> None:
    file, other = tmp_path / "r.jsonl", tmp_path / "other.jsonl"
    written(file, 200, first=200).refresh()
    written(other, 200, first=410)
    open_before = ReplyFile(file)
    assert known(open_before, 620) == list(range(200, 400))
    os.replace(other, file)
    assert known(ReplyFile(file), 620) == known(open_before, 620) == list(range(410, 610))


def test_a_file_that_was_cut_or_deleted_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    replies = written(file, 300)
    assert len(known(replies, 300)) == 300
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:100]))
    assert known(replies, 300) == list(range(100))
    file.unlink()
    written(file, 5)
    assert known(replies, 300) == list(range(5))


def test_unfinished_and_foreign_lines_spoil_no_other(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    written(file, 100).refresh()
    with file.open("ab") as lines:
        lines.write(b'{"key": "key 100", "model": "named", "reply": {}')
    written(file, 20, first=100)
    foreign = {"reply": {"text": "ä 120 "}, "identity": "named 1", "model": "named", "key": "key 120"}
    with file.open("a") as lines:
        lines.write("[1]\n\n" + json.dumps(foreign) + "\n" + '{"key": "key 121", "reply": {"unknown": 1}}\n')
    assert known(ReplyFile(file), 130) == list(range(121))
    written(file, 200, first=121)
    assert known(ReplyFile(file), 330) == list(range(321))
    assert models_of(file) == {("named", "named 1")}


def test_a_directory_that_cannot_be_written_has_its_replies_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(reply_file, "write_table", full)
    written(tmp_path / "r.jsonl", 300)
    assert known(ReplyFile(tmp_path / "r.jsonl"), 310) == list(range(300))


def test_a_file_system_without_locks_has_its_replies_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(reply_file.fcntl, "flock", none)
    written(tmp_path / "r.jsonl", 30)
    assert known(ReplyFile(tmp_path / "r.jsonl"), 40) == list(range(30))


def test_processes_that_write_lines_and_tables_at_once_lose_none(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    watching = ReplyFile(file)
    all_of_them = [subprocess.Popen([sys.executable, "-c", WRITE, str(file), name], env=environment) for name in "abc"]
    while any(process.poll() is None for process in all_of_them):
        watching.refresh()
    assert [process.wait() for process in all_of_them] == [0, 0, 0]
    for replies in (watching, ReplyFile(file)):
        replies.refresh()
        texts = {f"{name}-{n}": (replies.get(f"{name}-{n}") or Reply()).text for name in "abc" for n in range(300)}
        assert texts == {f"{name}-{n}": f"{name} {n}" for name in "abc" for n in range(300)}
    assert len(file.read_bytes().splitlines()) == 900
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith("partial")] == []


def test_memory_and_open_files_do_not_grow_with_replies(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    replies = written(file, 200)
    replies.refresh()
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for number in range(200, 1200):
        replies.append(f"key {number}", Named(), QUESTION, Reply("ä"))
        replies.refresh()
        ReplyFile(file).refresh()
    assert len(replies._recent) <= 40
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_reply_is_read_in_few_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(size)
        return read(descriptor, size, offset)

    replies = ReplyFile(tmp_path / "replies.jsonl")
    replies.append("key", Named(), QUESTION, Reply("a" * (4 << 20)))
    replies.append("next", Named(), QUESTION, Reply("b"))
    monkeypatch.setattr(os, "pread", counted)
    assert replies.get("key") == Reply("a" * (4 << 20))
    assert len(reads) < 15

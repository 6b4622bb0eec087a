"""Replies kept in an append-only file that several processes share, so that no reply is paid for twice."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from evals.asking import ChatModel, Keep, Question, Reply, forget, question_key
from evals.benchmarks.files import read_rows
from evals.errors import UserError


class ReplyFile:
    """Replies by key, one JSON object a line. A line that a killed process left unfinished is skipped, and asked for again."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._replies: dict[str, Reply] = {}
        self._read_to = 0

    def get(self, key: str) -> Reply | None:
        return self._replies.get(key)

    def refresh(self) -> None:
        """Read what was appended since the last time, by whichever process."""
        if not self.file.is_file():
            return
        with self.file.open("rb") as lines:
            lines.seek(self._read_to)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                self._take(line)

    def append(self, key: str, model: ChatModel, question: Question, reply: Reply) -> None:
        """Add one reply; it is in the file when this returns."""
        row = {"key": key, "model": model.name, "identity": model.identity, "id": question.id, "reply": asdict(reply)}
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        with self._locked() as descriptor:
            # A process killed in the middle of its line left no end to it.
            size = os.fstat(descriptor).st_size
            whole = line if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n" + line
            while whole:
                whole = whole[os.write(descriptor, whole) :]
        self._replies[key] = reply

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            self._replies[row["key"]] = Reply(**row["reply"])
        except (ValueError, KeyError, TypeError):
            return


class RememberingModel:
    """A chat model that asks only what its file does not know. Failures are not remembered.

    `asked` counts the questions put to the model itself, `remembered` those answered from the file.
    """

    def __init__(self, model: ChatModel, replies: ReplyFile) -> None:
        self._model, self._replies = model, replies
        self.asked = 0
        self.remembered = 0

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def identity(self) -> str:
        return self._model.identity

    @property
    def repeats_itself(self) -> bool:
        return self._model.repeats_itself

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """Replies from the file, or else from the model. Equal questions are asked once."""
        self._replies.refresh()
        keys = [question_key(self.identity, question) for question in questions]
        wanted: dict[str, list[int]] = {}
        found: dict[int, Reply] = {}
        for number, key in enumerate(keys):
            known = self._replies.get(key)
            if known is None:
                wanted.setdefault(key, []).append(number)
            else:
                found[number] = known
                keep(number, known)
        self.remembered += len(found)
        places = list(wanted.values())

        def take(place: int, reply: Reply) -> None:
            first = places[place][0]
            if not reply.failure:
                self._replies.append(keys[first], self._model, questions[first], reply)
            for number in places[place]:
                found[number] = reply
                keep(number, reply)

        self.asked += len(places)
        if places:
            self._model.ask([questions[numbers[0]] for numbers in places], take)
        return [found[number] for number in range(len(questions))]


class ReplayedModel:
    """A model that is not there: only what it once replied. Give it to a RememberingModel over the same file."""

    repeats_itself: bool = False

    def __init__(self, file: Path) -> None:
        """Raises UserError for a file that holds no replies, or those of several models."""
        models = {(row["model"], row["identity"]) for row in read_rows(file) if "identity" in row}
        if len(models) != 1:
            what = f"the file holds the replies of {len(models)} models"
            raise UserError(what, str(file), "give a file of replies of one model, as an evaluation leaves it under `replies`")
        ((self.name, self.identity),) = models

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """Refuse: whatever comes here was not in the file. Only asking again what could not be read fails question by question."""
        new = [question for question in questions if not question.attempt]
        if new:
            what = f"{len(new)} questions were never asked of {self.name}, the first about {new[0].id}"
            raise UserError(what, "the replayed replies", "replay with the same prompts, outputs and settings, or ask the model itself")
        replies = [Reply(failure="never asked again") for _ in questions]
        for number, reply in enumerate(replies):
            keep(number, reply)
        return replies


def remembered(model: ChatModel, directory: Path) -> RememberingModel:
    """The model with the file of its own replies in `directory`."""
    name = hashlib.sha256(model.identity.encode()).hexdigest()[:16]
    return RememberingModel(model, ReplyFile(directory / f"{name}.jsonl"))

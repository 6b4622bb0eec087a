"""Evaluation prompts from local JSONL files, identified by a hash of their content."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.errors import DataFormatError, shortened
from evals.json_lines import text_line

# What a turn may have besides its role and its text, for the chat template to show.
TURN_FIELDS = ("name", "tool_calls", "tool_call_id", "reasoning_content", "thinking")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation: `role` is system, user, assistant or tool; `extra` holds further fields, of `TURN_FIELDS`."""

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """Give the form that chat templates and chat endpoints take."""
        return {"role": self.role, "content": self.content, **self.extra}


def turn_fields(turn: Mapping[str, Any]) -> dict[str, Any]:
    """What a turn of a data file has of `TURN_FIELDS`."""
    return {name: turn[name] for name in TURN_FIELDS if turn.get(name) is not None}


@dataclass(frozen=True)
class EvaluationPrompt:
    """A conversation to answer, with what a judge may know about it: a reference answer, an exact answer or a pattern.

    `stratum` is the part of the prompt set that it belongs to.
    """

    id: str
    messages: tuple[Message, ...]
    reference: str | None = None
    answer: str | None = None
    pattern: str | None = None
    stratum: str = ""

    @property
    def text(self) -> str:
        """The conversation as one text: of a single turn, that turn itself."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n\n".join(f"{message.role}: {message.content}" for message in self.messages)


@dataclass(frozen=True)
class PromptSet:
    """An ordered set of prompts; `sha256` identifies its content."""

    prompts: tuple[EvaluationPrompt, ...]
    sha256: str


def check_prompt_file(file: Path, where: str = "") -> None:
    """Raise DataFormatError for a file of prompts that is not there; `where` is what names it."""
    if not os.path.isfile(file):
        cure = f"give the path of a JSONL file, one prompt a line, counted from {Path.cwd()}"
        raise DataFormatError(f"there is no prompt file {shortened(str(file))}", where, cure, code="DAA-0220")


def load_prompts(path: str | Path) -> PromptSet:
    """Read prompts from a JSONL file with `prompt` (text, or messages) or `messages`.

    Optional are `id`, `reference`, `answer`, `pattern` and `stratum`.

    Raises DataFormatError naming the file and the line.
    """
    file = Path(path)
    check_prompt_file(file)
    content = file.read_bytes()
    prompts = tuple(_prompt(line, f"{file}:{number}", number) for number, line in enumerate(content.splitlines(), 1) if line.strip())
    if not prompts:
        raise DataFormatError("the prompt file is empty", str(file), "write one JSON object with `prompt` on each line")
    duplicates = len(prompts) - len({prompt.id for prompt in prompts})
    if duplicates:
        raise DataFormatError(f"{duplicates} prompts share an id with another", str(file), "make every `id` unique, or leave `id` out")
    return PromptSet(prompts, hashlib.sha256(content).hexdigest())


def save_prompts(path: str | Path, prompts: Sequence[EvaluationPrompt]) -> None:
    """Write prompts in the form that `load_prompts` reads."""
    rows = []
    for prompt in prompts:
        known = {"reference": prompt.reference, "answer": prompt.answer, "pattern": prompt.pattern, "stratum": prompt.stratum or None}
        messages = [message.as_dict() for message in prompt.messages]
        rows.append({"id": prompt.id, "messages": messages} | {key: value for key, value in known.items() if value is not None})
    Path(path).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _prompt(line: bytes, where: str, number: int) -> EvaluationPrompt:
    row = text_line(line, where)
    if not isinstance(row, dict) or not ("prompt" in row or "messages" in row):
        raise DataFormatError("this row has neither `prompt` nor `messages`", where, 'write {"prompt": "..."} or {"messages": [...]}')
    turns = row.get("messages") or row["prompt"]
    turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
    try:
        messages = tuple(_message(turn) for turn in turns)
    except (AttributeError, KeyError, TypeError) as error:
        raise DataFormatError("a message has no `role` or no `content`", where, 'write {"role": "user", "content": "..."}') from error
    if not messages:
        raise DataFormatError("the prompt has no messages", where, 'write {"prompt": "..."}, or leave the row out')
    reference, answer, pattern = (_text(row, key, where) for key in ("reference", "answer", "pattern"))
    return EvaluationPrompt(str(row.get("id", number - 1)), messages, reference, answer, pattern, str(row.get("stratum", "")))


def _message(turn: Mapping[str, Any]) -> Message:
    if not isinstance(turn["content"], str):
        raise TypeError("the content is no text")
    return Message(str(turn["role"]), turn["content"], turn_fields(turn))


def _text(row: Mapping[str, Any], key: str, where: str) -> str | None:
    """What a row has under a key, a number as its digits."""
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataFormatError(f"`{key}` is no text", where, f"write it in quotation marks, or leave `{key}` out")

"""Conversations as data spell them, and evaluation prompts from local JSONL files, identified by a hash of their content."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.errors import DataFormatError, shortened
from evals.json_lines import text_line

# What a turn may have besides its role and its text, for the chat template to show.
TURN_FIELDS = ("name", "tool_calls", "tool_call_id", "reasoning_content", "thinking")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "model": "assistant"}
_ROLES |= {"system": "system", "developer": "developer", "tool": "tool", "observation": "tool", "function": "tool"}
_TRANSCRIPT = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ ]?")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation: `role` is system, user, assistant or tool; `extra` holds further fields, of `TURN_FIELDS`."""

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """Give the form that chat templates and chat endpoints take."""
        return {"role": self.role, "content": self.content, **self.extra}


def is_transcript(text: Any) -> bool:
    """Whether a text is a dialogue such as Anthropic's hh has: "Human: ...", "Assistant: ..." with empty lines between."""
    return isinstance(text, str) and re.match(r"(?:\n\n)?Human: ?", text) is not None and "\n\nAssistant:" in text


def transcript(text: str) -> tuple[Message, ...]:
    """The turns of a dialogue of Human and Assistant."""
    pieces = _TRANSCRIPT.split(text)
    return tuple(Message(_ROLES[role.lower()], content) for role, content in zip(pieces[1::2], pieces[2::2], strict=True))


def prompt_messages(prompt: Any) -> tuple[Message, ...]:
    """The turns of a prompt; a text is one user's turn, or a transcript. Raises ValueError for what is no prompt."""
    if isinstance(prompt, str):
        turns = transcript(prompt) if is_transcript(prompt) else (Message("user", prompt),)
        return turns[:-1] if len(turns) > 1 and turns[-1].role == "assistant" and not turns[-1].content.strip() else turns
    return messages(prompt)


def messages(turns: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """A list of messages, with `role` and `content` or ShareGPT's `from` and `value`. Raises ValueError for what is none."""
    if not isinstance(turns, Sequence):
        raise ValueError("a conversation is a list of messages")
    return tuple(_message(turn) for turn in turns)


def with_system(turns: tuple[Message, ...], system: Any) -> tuple[Message, ...]:
    """The turns behind what a row has as its `system`, where that is a text and they have no such turn themselves."""
    if not isinstance(system, str) or not system.strip() or any(turn.role in ("system", "developer") for turn in turns):
        return turns
    return (Message("system", system), *turns)


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
    """Read prompts from a JSONL file with `prompt` (text, or messages) or `messages`; of preference data, what their pairs answer.

    Optional are `system`, `id`, `reference`, `answer`, `pattern` and `stratum`.

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
        turns = [message.as_dict() for message in prompt.messages]
        rows.append({"id": prompt.id, "messages": turns} | {key: value for key, value in known.items() if value is not None})
    Path(path).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _prompt(line: bytes, where: str, number: int) -> EvaluationPrompt:
    row = text_line(line, where)
    if not isinstance(row, dict) or not ("prompt" in row or "messages" in row):
        raise DataFormatError("this row has neither `prompt` nor `messages`", where, 'write {"prompt": "..."} or {"messages": [...]}')
    try:
        turns = with_system(_asked(row), row.get("system"))
    except ValueError as error:
        raise DataFormatError(f"this row cannot be read: {error}", where, 'write {"role": "user", "content": "..."}') from error
    if not turns:
        raise DataFormatError("the prompt has no messages", where, 'write {"prompt": "..."}, or leave the row out')
    if turns[-1].role == "assistant":
        cure = "remove the last turn, which would be answered in place of the question, or give the question as `prompt`"
        raise DataFormatError("the conversation ends with an assistant's turn", where, cure)
    reference, answer, pattern = (_text(row, key, where) for key in ("reference", "answer", "pattern"))
    return EvaluationPrompt(str(row.get("id", number - 1)), turns, reference, answer, pattern, str(row.get("stratum", "")))


def _asked(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """The turns of `messages`; those of `prompt` where there are no others, or where they go on to an answer, as preference data's do."""
    turns = messages(row["messages"]) if row.get("messages") else ()
    is_answered = bool(turns) and turns[-1].role == "assistant" and bool(row.get("prompt"))
    return turns if turns and not is_answered else prompt_messages(row.get("prompt", ()))


def _message(turn: Any) -> Message:
    if not isinstance(turn, Mapping):
        raise ValueError("a message is no table with `role` and `content`")
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    extra = {name: turn[name] for name in TURN_FIELDS if turn.get(name) is not None}
    if isinstance(content, Sequence) and not isinstance(content, str):
        content = "".join(map(_part, content))
    if content is None and extra:
        content = ""
    if role is None or not isinstance(content, str):
        raise ValueError("a message has no `role`, or no `content` that is a text")
    return Message(_ROLES.get(str(role).lower(), str(role)), content, extra)


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None
    if not isinstance(text, str):
        raise ValueError("a message holds more than text")
    return text


def _text(row: Mapping[str, Any], key: str, where: str) -> str | None:
    """What a row has under a key, a number as its digits."""
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataFormatError(f"`{key}` is no text", where, f"write it in quotation marks, or leave `{key}` out")

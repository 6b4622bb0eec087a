"""The lines of a JSON Lines file."""

import json
import re
from pathlib import Path
from typing import Any

from evals.errors import DataFormatError

ONE_OBJECT = "write one JSON object on each line"
# Conversations with tool calls nest some ten levels; what is far deeper breaks whoever walks through it.
DEEPEST = 100
TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"
HALF = "it holds what is no text: half of a surrogate pair, or bytes that are not UTF-8"
IN_UTF8 = "write the texts in UTF-8"
_HALVES = re.compile(r"[\ud800-\udfff]")


def json_line(line: str | bytes, origin: str, cure: str = ONE_OBJECT) -> Any:
    """The line's value. Raises DataFormatError at `origin`, such as "rows.jsonl:3", for a line that is not JSON."""
    try:
        return parsed_json(line)
    except UnicodeDecodeError as error:
        raise DataFormatError(f"this line cannot be read: {HALF}", origin, IN_UTF8) from error
    except ValueError as error:
        raise DataFormatError(f"this line is not JSON: {error}", origin, cure) from error


def parsed_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for what is none, is not in UTF-8, or is nested too deeply to be of use."""
    letters = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    value = loaded_json(letters)
    if letters.count("[") + letters.count("{") > DEEPEST and is_deep(value):
        raise ValueError(TOO_DEEP)
    return value


def loaded_json(text: str) -> Any:
    """As `parsed_json`, for an array whose rows are looked at one by one: deep ones are let through as far as Python reads them."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def text_line(line: bytes, origin: str, cure: str = ONE_OBJECT) -> Any:
    """As `json_line`, for texts that go to a tokenizer: raises DataFormatError for a line with half of a surrogate pair too."""
    value = json_line(line, origin, cure)
    if b"\\ud" in line.lower() and half_a_letter(json.dumps(value, ensure_ascii=False)):
        raise DataFormatError(f"this line cannot be read: {HALF}", origin, IN_UTF8)
    return value


def half_a_letter(text: str) -> bool:
    """Whether a text holds half of a surrogate pair, which neither a file nor a tokenizer takes; undecodable bytes are read as such."""
    return _HALVES.search(text) is not None


def is_deep(value: Any) -> bool:
    """Whether a value is nested more than DEEPEST levels deep."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner for outer in level if isinstance(outer, dict | list) for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def lines_since(file: Path, place: int) -> tuple[list[bytes], int]:
    """The lines of a file that grows from a place on, without one that is still being written, and the place after them."""
    with file.open("rb") as lines:
        lines.seek(place)
        whole, newline, _ = lines.read().rpartition(b"\n")
    return whole.splitlines(), place + len(whole) + len(newline)

"""Rows of official files, and the benchmark data that they are joined with."""

import csv
import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from evals.errors import DataFormatError, shortened
from evals.json_lines import ONE_OBJECT, json_line, parsed_json

DATA_VARIABLE = "DAA_EVAL_DATA"
_UNREADABLE = (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error)
# Official files have some megabytes; a compressed one of a few may hold what takes the machine's memory.
_LARGEST = 1 << 30
_ROWS = "write a list of JSON objects, or one object on each line"


def read_rows(path: str | Path) -> list[Mapping[str, Any]]:
    """The objects of a JSON list, a JSON Lines file or one JSON object, gzipped or not. Raises DataFormatError with file and line."""
    file = Path(path)
    if not file.is_file():
        raise DataFormatError(f"there is no file {file}", cure="give the path of a judgment or annotation file")
    text = read_text(file)
    try:
        whole = parsed_json(text)
    except ValueError:
        whole = list(_lines(text, file))
    rows = whole if isinstance(whole, list) else [whole]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataFormatError("the file holds no rows", str(file), _ROWS)
    return rows


def benchmark_file(name: str) -> Path:
    """A file of the benchmark data, such as "alpaca_eval2/instructions.jsonl", plain or gzipped, below $DAA_EVAL_DATA.

    Raises DataFormatError that says what to place where.
    """
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise DataFormatError(f"{name} is needed and ${DATA_VARIABLE} is not set", name, f"set {DATA_VARIABLE} to the folder that holds it")
    for candidate in (Path(root) / name, Path(root) / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataFormatError(f"there is no {name} (or {name}.gz)", root, f"place it there, or set {DATA_VARIABLE} to the folder that holds it")


def read_text(path: Path) -> str:
    """A file's text, gzipped or not. Raises DataFormatError for a file that has none, or too much of it."""
    try:
        with _opened(path) as content:
            text = content.read(_LARGEST + 1)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if len(text) > _LARGEST:
        raise DataFormatError(f"the file holds more than {_LARGEST >> 20} MiB of text", str(path), "split it into several")
    return text


def read_csv(path: Path) -> list[Mapping[str, str]]:
    """The rows of a CSV file with a header, gzipped or not. Raises DataFormatError for a file that is none."""
    try:
        with _opened(path) as lines:
            return list(csv.DictReader(lines))
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


@dataclass(frozen=True)
class Column:
    """What rows have under a key: whether a value is right, and what it must be, in words."""

    is_right: Callable[[Any], bool]
    told: str


TEXT = Column(lambda value: isinstance(value, str), "a text")
TEXT_OR_NONE = Column(lambda value: value is None or isinstance(value, str), "a text")


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value of JSON is a number within bounds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def check_row(row: Mapping[str, Any], number: int, columns: Mapping[str, Column], where: str, cure: str) -> None:
    """Raises DataFormatError, naming the row by its number, where a column is missing or has a value that is not right."""
    for key, column in columns.items():
        if key not in row:
            raise DataFormatError(f"row {number} has no `{key}`", where, cure)
        if not column.is_right(row[key]):
            raise DataFormatError(f"row {number}: `{key}` is {shortened(repr(row[key]), 100)}, not {column.told}", where, cure)


def _opened(file: Path) -> IO[str]:
    # Some editors and spreadsheets begin a file with a mark of its encoding.
    encoding = "utf-8-sig"
    return gzip.open(file, "rt", encoding=encoding) if file.suffix == ".gz" else file.open(encoding=encoding, newline="")


def _unreadable(file: Path, error: Exception) -> DataFormatError:
    return DataFormatError(f"the file cannot be read: {error}", str(file), "copy or download it again")


def _lines(text: str, file: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = json_line(line, f"{file}:{number}", _ROWS)
        if not isinstance(row, dict):
            raise DataFormatError("this line is not a JSON object", f"{file}:{number}", ONE_OBJECT)
        yield row

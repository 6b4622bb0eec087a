"""Rows of official files, and the benchmark data that they are joined with."""

import csv
import gzip
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from evals.errors import DataFormatError
from evals.json_lines import ONE_OBJECT, json_line, parsed_json

DATA_VARIABLE = "DAA_EVAL_DATA"
_ROWS = "write a list of JSON objects, or one object on each line"


def read_rows(path: str | Path) -> list[Mapping[str, Any]]:
    """The objects of a JSON list, a JSON Lines file or one JSON object, gzipped or not. Raises DataFormatError with file and line."""
    file = Path(path)
    if not file.is_file():
        raise DataFormatError(f"there is no file {file}", cure="give the path of a judgment or annotation file")
    try:
        text = _opened(file).read()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataFormatError(f"the file cannot be read: {error}", str(file), "copy or download it again") from error
    try:
        whole = parsed_json(text)
    except ValueError:
        return list(_lines(text, file))
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


def read_csv(path: Path) -> list[Mapping[str, str]]:
    """The rows of a CSV file with a header, gzipped or not."""
    with _opened(path) as lines:
        return list(csv.DictReader(lines))


def _opened(file: Path) -> IO[str]:
    return gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8", newline="")


def _lines(text: str, file: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = json_line(line, f"{file}:{number}", _ROWS)
        if not isinstance(row, dict):
            raise DataFormatError("this line is not a JSON object", f"{file}:{number}", ONE_OBJECT)
        yield row

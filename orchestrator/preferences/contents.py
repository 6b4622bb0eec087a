"""What a data file holds, as rows: JSON Lines, JSON, Parquet and CSV."""

import ast
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from evals.errors import first_line
from evals.json_lines import HALF, IN_UTF8, TOO_DEEP, half_a_letter, is_deep, loaded_json, parsed_json, text_line
from orchestrator.errors import DataFormatError
from orchestrator.preferences.rows import PAIR_HELP, BadRow, Row, RowError

# No row that people or models write comes near these; what does must not take the machine's memory.
LONGEST_LINE, LARGEST_JSON = 1 << 24, 1 << 31
# Python takes hundreds of bytes for each character of what it reads as a literal.
_LONGEST_LITERAL = 1 << 20
# A column of the same long text in each row takes no room in a Parquet file: few rows are taken out of one at a time.
_ROWS = 16
_CHUNK, _SAMPLE = 1 << 18, 1000
# Columns that hold lists in some format; in the others, what looks like one may be an answer.
_LISTS = frozenset(("all_generated_responses", "all_rm_scores", "answers", "history", "responses", "rewards", "tools"))
_SPLIT = "one row a line, each with one prompt and its responses"
_SURPLUS = "cells beyond the header"
_QUOTED = 'close the quotation mark that this row opens; within a quoted text write each one twice, as ""'
# Its byte order marks, as `surrogateescape` reads them.
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")
_ARRAY = "write a comma between two rows and none after the last, and close the array; or write one row a line, as JSON Lines"
DAMAGED = "copy or download it again"


def _json_lines(content: Any, name: str) -> Iterator[Row | BadRow]:
    for number, line in enumerate(_lines(content), 1):
        origin = f"{name}:{number}"
        if len(line) > LONGEST_LINE:
            shown = line[:_SAMPLE].decode(errors="replace")
            yield BadRow(name, origin, _too_long("line"), _SPLIT, shown)
        elif line.strip():
            try:
                yield _row(text_line(line, origin), name, origin)
            except DataFormatError as error:
                yield BadRow(name, origin, error.what, error.cure, line.decode(errors="replace"))


def _too_long(what: str) -> str:
    return f"this {what} is longer than {LONGEST_LINE >> 20} MiB"


def _lines(content: Any) -> Iterator[bytes]:
    """The lines of a file, of whatever length: of one beyond LONGEST_LINE no more is kept than shows that it is."""
    rest = b""
    while chunk := content.read(_CHUNK):
        if len(rest) > LONGEST_LINE:
            _, newline, chunk = chunk.partition(b"\n")
            if not newline:
                continue
            yield rest
            rest = b""
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _json(content: Any, name: str) -> Iterator[Row | BadRow]:
    """A JSON array, an object whose `data` or `train` is one, or JSON lines under another name."""
    text = content.read(LARGEST_JSON + 1)
    if len(text) > LARGEST_JSON:
        raise DataFormatError(f"a JSON array of more than {LARGEST_JSON >> 20} MiB", name, "write JSON lines, which are read one by one")
    letters = text.decode("utf-8-sig", errors="surrogateescape")
    try:
        whole = loaded_json(letters)
    except ValueError as error:
        if letters.lstrip().startswith("["):
            where = f"{name}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else name
            raise DataFormatError(f"this JSON array cannot be read: {error}", where, _ARRAY) from error
        whole = None
    may_have_halves = b"\\ud" in text.lower() or half_a_letter(letters)
    del letters
    if isinstance(whole, dict):
        whole = next((whole[key] for key in ("data", "train") if isinstance(whole.get(key), list)), None)
    if not isinstance(whole, list):
        yield from _json_lines(io.BytesIO(text), name)
        return
    for number, values in enumerate(whole, 1):
        yield _array_row(values, name, f"{name}, row {number}", may_have_halves)


def _array_row(values: Any, name: str, origin: str, may_have_halves: bool) -> Row | BadRow:
    if is_deep(values):
        return BadRow(name, origin, f"this row cannot be read: {TOO_DEEP}", PAIR_HELP)
    if may_have_halves and half_a_letter(json.dumps(values, ensure_ascii=False)):
        return BadRow(name, origin, f"this row cannot be read: {HALF}", IN_UTF8)
    return _row(values, name, origin)


def _parquet(content: Any, name: str) -> Iterator[Row | BadRow]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        batches = ParquetFile(content).iter_batches(batch_size=_ROWS)
        yield from numbered((row for batch in batches for row in _batch_rows(batch)), name)
    except (ArrowException, OSError) as error:
        raise DataFormatError(f"this is not a readable Parquet file: {error}", name, DAMAGED) from error


def _batch_rows(batch: Any) -> Iterable[Mapping[str, Any] | RowError]:
    """The rows of a batch, with the reason in place of one that is too long or that Python cannot hold."""
    with suppress(ValueError, OverflowError):
        if batch.nbytes <= LONGEST_LINE:
            return batch.to_pylist()
    return (_batch_row(batch.slice(place, 1)) for place in range(len(batch)))


def _batch_row(row: Any) -> Mapping[str, Any] | RowError:
    """A batch of one row as that row, without times that Python cannot hold, which no format asks for."""
    from pyarrow.types import is_temporal

    if row.nbytes > LONGEST_LINE:
        return RowError("unreadable", _too_long("row"), _SPLIT)
    values = {}
    for column, cells in zip(row.schema.names, row.columns, strict=True):
        try:
            values[column] = cells[0].as_py()
        except (ValueError, OverflowError) as error:
            if not is_temporal(cells.type):
                return RowError("unreadable", f"this row cannot be read: `{column}`: {first_line(error)}", IN_UTF8)
    return values


def _csv(content: Any, name: str) -> Iterator[Row | BadRow]:
    """Cells that hold a list, as JSON or as Python writes it, are read as one where it can be meant; empty cells are absent.

    A quotation mark that is never closed leaves open where rows end: DataFormatError names the line that its row begins on.
    """
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.DictReader(_text_lines(content, name), restkey=_SURPLUS, strict=True)
    try:
        is_empty = reader.fieldnames is None
    except csv.Error as error:
        raise _no_csv(error, f"{name}:1") from error
    while not is_empty:
        begins = reader.reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if reader.reader.line_num > begins or "end of data" in str(error):
                raise _no_csv(error, f"{name}:{begins}") from error
            yield BadRow(name, f"{name}:{begins}", f"this row cannot be read: {error}", "put a comma after a closing quotation mark")
            continue
        if row is None:
            return
        yield _table_row(row, name, f"{name}:{reader.line_num}")


def _no_csv(error: csv.Error, where: str) -> DataFormatError:
    return DataFormatError(f"this is no CSV from here on: {error}", where, _QUOTED)


def _table_row(row: Mapping[Any, Any], name: str, origin: str) -> Row | BadRow:
    row = row if any(row.get(_SURPLUS, ())) else {key: cell for key, cell in row.items() if key != _SURPLUS}
    values = {key: _cell(key, cell) if isinstance(cell, str) else cell for key, cell in row.items() if cell not in (None, "")}
    if half_a_letter(json.dumps(values, ensure_ascii=False)):
        return BadRow(name, origin, f"this row cannot be read: {HALF}", IN_UTF8)
    if _SURPLUS in row:
        return BadRow(name, origin, "this row has more cells than the header", "put texts that hold commas in quotation marks", values)
    return Row(name, origin, values)


def _text_lines(content: Any, name: str) -> Iterator[str]:
    lines = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
    for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE + 1), ""), 1):
        if number == 1 and (line.startswith(_UTF_16) or "\0" in line):
            raise DataFormatError("this is a table in UTF-16, or no text", f"{name}:1", "save it as CSV in UTF-8")
        if len(line) > LONGEST_LINE:
            raise DataFormatError(_too_long("line"), f"{name}:{number}", _SPLIT)
        yield line


def _cell(column: str, text: str) -> Any:
    """What a cell holds: messages in any column, a list or a table where the column is one of lists, or else its text, JSON or not."""
    if not text.startswith(("[", "{")):
        return text
    for read in (parsed_json, _python_literal):
        try:
            found = read(text)
        except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if column in _LISTS or _is_message(found) or _is_conversation(found) else text
    return text


def _is_conversation(found: Any) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in found)


def _is_message(found: Any) -> bool:
    return isinstance(found, dict) and any(set(names) <= set(found) for names in (("role", "content"), ("from", "value")))


def _python_literal(text: str) -> Any:
    """What Python writes of what JSON can hold. Raises TypeError or ValueError for anything else, and for what is too long to read."""
    if len(text) > _LONGEST_LITERAL:
        raise ValueError("too long a literal")
    return parsed_json(json.dumps(ast.literal_eval(text)))


def numbered(found: Iterable[Any], name: str) -> Iterator[Row | BadRow]:
    for number, values in enumerate(found, 1):
        yield _row(values, name, f"{name}, row {number}")


def _row(values: Any, name: str, origin: str) -> Row | BadRow:
    if isinstance(values, Mapping):
        return Row(name, origin, values)
    if isinstance(values, RowError):
        return BadRow(name, origin, str(values), values.cure, kind=values.kind)
    return BadRow(name, origin, "this line is not a JSON object", PAIR_HELP, values)


READERS: Mapping[str, Callable[[Any, str], Iterator[Row | BadRow]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
    ".csv": _csv,
}

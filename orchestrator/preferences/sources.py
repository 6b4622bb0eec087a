"""Where preference data lie, as rows: files of this machine or of any address that fsspec opens, directories of them, and hub data sets."""

import ast
import csv
import io
import json
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evals.errors import first_line
from evals.json_lines import HALF, half_a_letter, parsed_json, text_line
from orchestrator.errors import DataFormatError, SettingsError
from orchestrator.preferences.rows import PAIR_HELP, BadRow, Row

_KINDS = (".jsonl", ".json", ".ndjson", ".parquet", ".csv")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
# No row that people or models write comes near these; what does must not take the machine's memory.
LONGEST_LINE, LARGEST_JSON = 1 << 24, 1 << 31
_CHUNK, _SAMPLE = 1 << 18, 1000
_SPLIT = "one row a line, each with one prompt and its responses"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_DAMAGED = "copy or download it again"
_CURE = "give the path of a JSONL, JSON, Parquet or CSV file, of a directory of them, an address such as s3://..., or a hub data set"


def check_source(source: str, where: str) -> None:
    """Refuse, without reading anything, a path at which nothing lies. Raises DataFormatError; addresses and hub names pass.

    Raises SettingsError for a hub name where the library that reads the hub's data sets is not installed.
    """
    if is_hub_name(source) and find_spec("datasets") is None:
        cure = "pip install 'daa-orchestrator[data]', or give a file of the set, hf://datasets/OWNER/NAME/PATH"
        raise SettingsError(f"reading {source} needs a package that is not installed", where, cure)
    if not (_is_address(source) or _is_pattern(source) or os.path.exists(os.path.expanduser(source)) or is_hub_name(source)):
        raise DataFormatError(f"there is no data file {source}", where, f"{_CURE}; paths count from {Path.cwd()}", code="DAA-0201")


def is_hub_name(source: str) -> bool:
    """Whether a source names a data set of the Hugging Face hub, OWNER/NAME, and not a file."""
    named = _HUB_NAME.fullmatch(source) is not None and not source.startswith(".") and _kind(source) is None
    return named and not os.path.exists(source)


def rows(source: str | Path, split: str = "train") -> Iterator[Row | BadRow]:
    """The rows of a source, one after another; `split` counts for hub data sets only.

    Raises DataFormatError for what is not there or is damaged; a line that is no JSON object is a BadRow.
    """
    for part in parts_of(source, split):
        yield from part.rows()


@dataclass(frozen=True)
class DataFile:
    """One file of a source: what people call it, and where it lies."""

    name: str
    system: Any
    path: str

    def rows(self) -> Iterator[Row | BadRow]:
        """Its rows, one after another. Raises DataFormatError when it is damaged."""
        reader = _READERS[_kind(self.name) or ".jsonl"]
        try:
            with self.system.open(self.path, "rb", compression="infer" if _is_compressed(self.name) else None) as content:
                yield from reader(content, self.name)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise DataFormatError(f"the file is damaged: {error}", self.name, _DAMAGED) from error

    def version(self) -> str:
        """Another one when the file was changed, as far as its file system tells without reading it."""
        if not self.name.startswith(("http://", "https://")):
            return f"{self.name} {self.system.ukey(self.path)}"
        # What fsspec calls the unique key of a web address is that of the address alone; where it leads to may be signed anew each time.
        told = {key: value for key, value in sorted(self.system.info(self.path).items()) if key != "url"}
        return f"{self.name} {json.dumps(told, default=str)}"


@dataclass(frozen=True)
class HubSplit:
    """One split of a data set of the Hugging Face hub."""

    name: str
    split: str

    def rows(self) -> Iterator[Row | BadRow]:
        """Its rows, one after another. Raises DataFormatError for what is not there."""
        return hub_rows(self.name, self.split)

    def version(self) -> str:
        """Another one when the data set has changed: `datasets` keeps each revision's files in a directory of that revision's name."""
        kept = getattr(_hub_split(self.name, self.split), "cache_files", ())
        return " ".join([self.name, self.split, *("/".join(Path(file["filename"]).parts[-2:]) for file in kept)])


def parts_of(source: str | Path, split: str = "train") -> Sequence[DataFile | HubSplit]:
    """What a source is made of, in the order of the rows. Raises DataFormatError for what is not there."""
    if is_hub_name(str(source)):
        return [HubSplit(str(source), split)]
    return [DataFile(*file) for file in _files(str(source))]


def hub_rows(name: str, split: str) -> Iterator[Row | BadRow]:
    """The rows of a data set of the Hugging Face hub, or of a directory that `datasets` loads. Raises DataFormatError."""
    yield from _numbered(_hub_split(name, split), f"{name} ({split})")


def _hub_split(name: str, split: str) -> Iterable[Any]:
    check_source(name, "data.train")
    from datasets import load_dataset

    try:
        return load_dataset(name, split=split)
    except (OSError, ValueError) as error:
        cure = f"is there such a data set, with a split {split!r}, and does this machine reach it (a gated one needs HF_TOKEN)? {_CURE}"
        raise DataFormatError(f"the data set cannot be loaded: {first_line(error)}", name, cure, code="DAA-0202") from error


def _files(source: str) -> list[tuple[str, Any, str]]:
    """Name, file system and path of each file of a source, in the order of their names."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(source if _is_address(source) else os.path.expanduser(source))
        if _is_pattern(source):
            paths = [found for found in sorted(system.glob(path)) if _kind(found)]
        elif system.isdir(path):
            paths = [found for found in sorted(system.find(path)) if _kind(found)]
        elif system.isfile(path):
            return [(source, system, path)]
        else:
            paths = []
    except (ImportError, OSError, ValueError) as error:
        raise DataFormatError(f"the data cannot be reached: {error}", source, _CURE, code="DAA-0202") from error
    if not paths:
        raise DataFormatError(f"there is no data file {source}", "data.train", _CURE, code="DAA-0201")
    root = source.rstrip("/")
    inside = "" if _is_pattern(source) else path.rstrip("/")
    return [(f"{root}{found[len(inside) :]}" if inside and found.startswith(inside) else found, system, found) for found in paths]


def _json_lines(content: Any, name: str) -> Iterator[Row | BadRow]:
    for number, line in enumerate(_lines(content), 1):
        origin = f"{name}:{number}"
        if len(line) > LONGEST_LINE:
            shown = line[:_SAMPLE].decode(errors="replace")
            yield BadRow(name, origin, f"this line is longer than {LONGEST_LINE >> 20} MiB", _SPLIT, shown)
        elif line.strip():
            try:
                yield _row(text_line(line, origin), name, origin)
            except DataFormatError as error:
                yield BadRow(name, origin, error.what, error.cure, line.decode(errors="replace"))


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
    try:
        whole = parsed_json(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict):
        whole = next((whole[key] for key in ("data", "train") if isinstance(whole.get(key), list)), None)
    if not isinstance(whole, list):
        yield from _json_lines(io.BytesIO(text), name)
        return
    has_escapes = b"\\ud" in text.lower()
    for row in _numbered(whole, name):
        if has_escapes and isinstance(row, Row) and half_a_letter(json.dumps(row.values, ensure_ascii=False)):
            yield BadRow(name, row.origin, f"this row cannot be read: {HALF}", "write the texts in UTF-8")
        else:
            yield row


def _parquet(content: Any, name: str) -> Iterator[Row | BadRow]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        batches = ParquetFile(content).iter_batches(batch_size=1000)
        yield from _numbered((row for batch in batches for row in batch.to_pylist()), name)
    except (ArrowException, OSError) as error:
        raise DataFormatError(f"this is not a readable Parquet file: {error}", name, _DAMAGED) from error


def _csv(content: Any, name: str) -> Iterator[Row | BadRow]:
    """Cells that hold a list, as JSON or as Python writes it, are read as one; empty cells are absent."""
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.DictReader(_text_lines(content, name))
    try:
        for row in reader:
            origin = f"{name}:{reader.line_num}"
            values = {key: _cell(cell) for key, cell in row.items() if key is not None and cell not in (None, "")}
            if any(half_a_letter(cell) for cell in row.values() if isinstance(cell, str)):
                yield BadRow(name, origin, f"this row cannot be read: {HALF}", "write the file in UTF-8")
            else:
                yield Row(name, origin, values)
    except csv.Error as error:
        raise DataFormatError(f"this is no CSV: {error}", f"{name}:{reader.line_num}", "is a quotation mark never closed?") from error


def _text_lines(content: Any, name: str) -> Iterator[str]:
    lines = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
    for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE + 1), ""), 1):
        if len(line) > LONGEST_LINE:
            raise DataFormatError(f"this line is longer than {LONGEST_LINE >> 20} MiB", f"{name}:{number}", _SPLIT)
        yield line


def _cell(text: str) -> Any:
    if not text.startswith(("[", "{")):
        return text
    for read in (parsed_json, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list | dict) else text
    return text


def _numbered(found: Iterable[Any], name: str) -> Iterator[Row | BadRow]:
    for number, values in enumerate(found, 1):
        yield _row(values, name, f"{name}, row {number}")


def _row(values: Any, name: str, origin: str) -> Row | BadRow:
    if isinstance(values, Mapping):
        return Row(name, origin, values)
    return BadRow(name, origin, "this line is not a JSON object", PAIR_HELP, values)


def _is_address(source: str) -> bool:
    return "://" in source or "::" in source


def _is_pattern(source: str) -> bool:
    return any(mark in source for mark in "*?[") and not os.path.exists(source) and "http" not in source


def _is_compressed(name: str) -> bool:
    return name.lower().endswith(_COMPRESSED)


def _kind(name: str) -> str | None:
    """What a file's name says that it holds; None for what is no data."""
    plain = name.lower().partition("?")[0]
    for ending in _COMPRESSED:
        plain = plain.removesuffix(ending)
    return next((kind for kind in _KINDS if plain.endswith(kind)), None)


_READERS: Mapping[str, Callable[[Any, str], Iterator[Row | BadRow]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
    ".csv": _csv,
}

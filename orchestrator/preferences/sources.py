"""Where preference data lie, as rows: files of this machine or of any address that fsspec opens, directories of them, and hub data sets."""

import json
import lzma
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

from evals.errors import first_line
from evals.secrets import filled_in
from orchestrator.errors import DataFormatError, SettingsError, UserError
from orchestrator.preferences.contents import DAMAGED, READERS, numbered
from orchestrator.preferences.rows import BadRow, Row

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# So many rows are looked at to know the columns that there are.
_LOOKED_AT = 1000
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


def check_output(file: Path, sources: Iterable[str | Path], where: str) -> None:
    """Refuse to write a file that is one of those that are read, or that would be read with them the next time. Raises UserError."""
    for source in map(str, sources):
        if _is_read(file, source):
            raise UserError(f"{file} is read by this command, or would be the next time: {source}", where, "name a file elsewhere")


def is_hub_name(source: str) -> bool:
    """Whether a source names a data set of the Hugging Face hub, OWNER/NAME, and not a file."""
    named = _HUB_NAME.fullmatch(source) is not None and not source.startswith(".") and _kind(source) is None
    return named and not os.path.exists(source)


def rows(
    source: str | Path, split: str = "train", config: str | None = None, columns: Mapping[str, str] | None = None
) -> Iterator[Row | BadRow]:
    """The rows of a source, one after another; `split` and `config` count for hub data sets only, `columns` as in the settings.

    Raises DataFormatError for what is not there or is damaged; a line that is no JSON object is a BadRow.
    """
    for part in parts_of(source, split, config, columns):
        yield from part.rows()


@dataclass(frozen=True)
class DataFile:
    """One file of a source: what people call it, where it lies, and its names for the columns of a format."""

    name: str
    system: Any
    path: str
    columns: Mapping[str, str]

    def rows(self) -> Iterator[Row | BadRow]:
        """Its rows, one after another. Raises DataFormatError when it is damaged, SettingsError when no package unpacks it."""
        reader = READERS[_kind(self.name) or ".jsonl"]
        codec = _codec(self.name)
        try:
            with self.system.open(self.path, "rb", compression=codec) as content:
                yield from _renamed(reader(content, self.name), self.columns, self.name)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise DataFormatError(f"the file is damaged: {error}", self.name, DAMAGED) from error

    def version(self) -> str:
        """Another one when the file was changed, as far as its file system tells without reading it."""
        if not self.name.startswith(("http://", "https://")):
            return f"{self.name} {self.system.ukey(self.path)}"
        # What fsspec calls the unique key of a web address is that of the address alone, which may be signed anew each time.
        told = {key: value for key, value in sorted(self.system.info(self.path).items()) if key not in {"name", "url"}}
        return f"{self.name} {json.dumps(told, default=str)}"


@dataclass(frozen=True)
class HubSplit:
    """One split of a data set of the Hugging Face hub, and its names for the columns of a format."""

    name: str
    split: str
    config: str | None
    columns: Mapping[str, str]

    def rows(self) -> Iterator[Row | BadRow]:
        """Its rows, one after another. Raises DataFormatError for what is not there."""
        return _renamed(hub_rows(self.name, self.split, self.config), self.columns, self.name)

    def version(self) -> str:
        """Another one when the data set has changed: `datasets` keeps each revision's files in a directory of that revision's name."""
        kept = getattr(_hub_split(self.name, self.split, self.config), "cache_files", ())
        return " ".join([self.name, self.split, self.config or "", *("/".join(Path(file["filename"]).parts[-2:]) for file in kept)])


def parts_of(
    source: str | Path, split: str = "train", config: str | None = None, columns: Mapping[str, str] | None = None
) -> Sequence[DataFile | HubSplit]:
    """What a source is made of, in the order of the rows. Raises DataFormatError for what is not there."""
    if is_hub_name(str(source)):
        return [HubSplit(str(source), split, config, columns or {})]
    return [DataFile(*file, columns or {}) for file in _files(str(source))]


def hub_rows(name: str, split: str, config: str | None = None) -> Iterator[Row | BadRow]:
    """The rows of a data set of the Hugging Face hub, or of a directory that `datasets` loads. Raises DataFormatError."""
    yield from numbered(_hub_split(name, split, config), f"{name} ({split})")


def _renamed(found: Iterator[Row | BadRow], columns: Mapping[str, str], name: str) -> Iterator[Row | BadRow]:
    """The rows with the columns of a format under its names. Raises DataFormatError for a column that none of the first rows has."""
    first = list(islice(found, _LOOKED_AT if columns else 0))
    there = {column for row in first if isinstance(row, Row) for column in row.values}
    absent = [column for column in columns.values() if column not in there]
    if absent and there:
        what = f"data.columns names `{absent[0]}`, which none of the first {len(first)} rows has"
        raise DataFormatError(what, name, f"name one of the columns that are there: {', '.join(sorted(there))}")
    for row in chain(first, found):
        yield replace(row, values=_under(row.values, columns)) if columns and isinstance(row, Row) else row


def _under(values: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    kept = {column: value for column, value in values.items() if column not in columns.values() and column not in columns}
    return kept | {column: values[theirs] for column, theirs in columns.items() if theirs in values}


def _hub_split(name: str, split: str, config: str | None) -> Any:
    check_source(name, "data.train")
    from datasets import load_dataset

    try:
        found = load_dataset(name, config, split=split)
    except (OSError, ValueError) as error:
        asked = f"with a split {split!r} " + (
            f"in a configuration {config!r}" if config else "(data.config names one of several configurations)"
        )
        cure = f"is there such a data set, {asked}, and does this machine reach it (a gated one needs HF_TOKEN)? {_CURE}"
        raise DataFormatError(f"the data set cannot be loaded: {first_line(error)}", name, cure, code="DAA-0202") from error
    # Reading a picture or a sound opens the address or the path that the row gives for it. No format asks for one.
    return found.remove_columns([column for column, feature in found.features.items() if _is_opened(feature)])


def _is_opened(feature: Any) -> bool:
    """Whether `datasets` makes pictures, sounds or other files of a column, or lists and tables of them; JSON it only parses."""
    if isinstance(feature, Mapping | list):
        return any(map(_is_opened, feature.values() if isinstance(feature, Mapping) else feature))
    inner = getattr(feature, "feature", None)
    return (hasattr(feature, "decode") and type(feature).__name__ != "Json") or (inner is not None and _is_opened(inner))


def _files(source: str) -> list[tuple[str, Any, str]]:
    """Name, file system and path of each file of a source, in the order of their names."""
    from fsspec.core import url_to_fs

    address = filled_in(source) if _is_address(source) else os.path.expanduser(source)
    try:
        system, path = url_to_fs(address)
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


def _is_address(source: str) -> bool:
    return "://" in source or "::" in source


def _is_pattern(source: str) -> bool:
    return any(mark in source for mark in "*?[") and not os.path.exists(source) and "http" not in source


def _is_read(file: Path, source: str) -> bool:
    local = Path(source.removeprefix("file://")).expanduser()
    if local.is_dir():
        return _kind(file.name) is not None and file.resolve().is_relative_to(local.resolve())
    if _is_pattern(source):
        return Path(os.path.abspath(file)).match(os.path.abspath(local))
    return local.exists() and file.exists() and file.samefile(local)


def _codec(name: str) -> str | None:
    """What a file's name says that it is compressed with. Raises SettingsError where the package for it is not installed."""
    from fsspec.utils import infer_compression

    plain = name.lower().partition("?")[0]
    codec = infer_compression(plain) if plain.endswith(_COMPRESSED) else None
    if codec is None and plain.endswith(_COMPRESSED):
        cure = "pip install zstandard for .zst, on every node, or unpack the file"
        raise SettingsError(f"unpacking {Path(plain).suffix} needs a package that is not installed", name, cure)
    return codec


def _kind(name: str) -> str | None:
    """What a file's name says that it holds; None for what is no data."""
    plain = name.lower().partition("?")[0]
    for ending in _COMPRESSED:
        plain = plain.removesuffix(ending)
    return next((kind for kind in READERS if plain.endswith(kind)), None)

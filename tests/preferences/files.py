"""Preference data as files of every kind."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """JSONL."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_gzip(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """JSONL, compressed."""
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def write_parquet(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A Parquet table whose missing values are null."""
    import pyarrow
    from pyarrow import parquet

    names = sorted({name for row in rows for name in row})
    parquet.write_table(pyarrow.table({name: [row.get(name) for row in rows] for name in names}), file)

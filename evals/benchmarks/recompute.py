"""Scores of official annotation and judgment files, anybody's, as JSON rows or as a table."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.benchmarks import BENCHMARKS
from evals.benchmarks.files import read_rows
from evals.errors import DataFormatError, UserError


def score_files(benchmark: str, files: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for each model (and judge, and category) of each file. Raises UserError for no benchmark, DataFormatError with the file."""
    if benchmark not in BENCHMARKS:
        raise UserError(f"there is no benchmark {benchmark!r}", "--benchmark", f"choose {', '.join(BENCHMARKS)}")
    rows = []
    for file in files:
        try:
            scores = BENCHMARKS[benchmark](read_rows(file))
        except DataFormatError as error:
            where = error.where if str(file) in error.where else f"{file}: {error.where}"
            raise DataFormatError(error.what, where, error.cure) from error
        rows += [{"file": str(file), **score.as_dict()} for score in scores]
    return rows


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """A JSON list, one row a line; what is not a number is null."""
    plain = [{key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()} for row in rows]
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in plain) + "\n]"

"""Scores of official annotation and judgment files, anybody's, as JSON rows or as a table."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.benchmarks import BENCHMARKS
from evals.benchmarks.files import read_rows
from evals.benchmarks.score import BenchmarkScore
from evals.comparison import compare_scores
from evals.errors import DataFormatError, UserError
from evals.whole_files import without_nan


def score_files(benchmark: str, files: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for each model (and judge, and category) of each file. Raises UserError for no benchmark, DataFormatError with the file."""
    return [{"file": str(file), **score.as_dict()} for file in files for score in scores_of(benchmark, file)]


def scores_of(benchmark: str, file: Path) -> list[BenchmarkScore]:
    """The scores of a file's models. Raises UserError for no benchmark, DataFormatError with the file."""
    if benchmark not in BENCHMARKS:
        raise UserError(f"there is no benchmark {benchmark!r}", "--benchmark", f"choose {', '.join(BENCHMARKS)}")
    try:
        return BENCHMARKS[benchmark](read_rows(file))
    except DataFormatError as error:
        where = error.where if str(file) in error.where else f"{file}: {error.where}"
        raise DataFormatError(error.what, where, error.cure, error.code) from error


def compare_files(benchmark: str, first: Path, second: Path) -> list[dict[str, Any]]:
    """The first file's model against the second's, one row for each category.

    Raises UserError where they have none in common, or where the second holds several models or judges.
    """
    theirs = _by_category(scores_of(benchmark, second), second)
    rows = []
    for score in scores_of(benchmark, first):
        category = _category(score)
        if category in theirs:
            found = {"benchmark": benchmark, "category": category, "model": score.model, "against": theirs[category].model}
            rows.append(found | compare_scores(score, theirs[category]).as_dict())
    if not rows:
        raise UserError("the two files have no category in common", f"{first} and {second}", "compare judgments of one benchmark")
    return rows


def _by_category(scores: Sequence[BenchmarkScore], file: Path) -> dict[str, BenchmarkScore]:
    found: dict[str, list[BenchmarkScore]] = defaultdict(list)
    for score in scores:
        found[_category(score)].append(score)
    for alike in found.values():
        if len(alike) > 1:
            names = ", ".join(f"{score.model} (judge: {score.judge or 'not named'})" for score in alike)
            cure = "give a file of one model's judgments by one judge, or give this file first"
            raise UserError(f"the second file holds more than one model or judge: {names}", str(file), cure)
    return {category: alike[0] for category, alike in found.items()}


def _category(score: BenchmarkScore) -> str:
    return str(score.details.get("category", ""))


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """A JSON list, one row a line; what is not a number is null."""
    return "[\n" + ",\n".join(json.dumps(without_nan(row), ensure_ascii=False, allow_nan=False) for row in rows) + "\n]"

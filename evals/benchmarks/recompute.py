"""Scores of official annotation and judgment files, anybody's, as JSON rows."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.benchmarks import BENCHMARKS, arena_hard
from evals.benchmarks.files import benchmark_file, read_rows
from evals.benchmarks.score import BenchmarkScore
from evals.benchmarks.sources import ARENA_HARD_V0_1, ARENA_HARD_V2_0
from evals.benchmarks.style_control import answer_styles
from evals.benchmarks.writing import safe_name
from evals.comparison import compare_scores
from evals.errors import DataFormatError, UserError
from evals.whole_files import without_nan

_ARENA_HARD = "arena_hard"
_VERSIONS = (ARENA_HARD_V0_1, ARENA_HARD_V2_0)


def score_files(benchmark: str, files: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for each model (and judge, and category) of each file. Raises UserError for no benchmark, DataFormatError with the file."""
    return [{"file": str(file), **score.as_dict()} for file in files for score in scores_of(benchmark, file)]


def scores_of(benchmark: str, file: Path) -> list[BenchmarkScore]:
    """The scores of a file's models. A version of Arena-Hard is another name for it, which the file must be of.

    Raises UserError for no benchmark, or a file of another version, DataFormatError with the file.
    """
    family = _ARENA_HARD if benchmark in _VERSIONS else benchmark
    if family not in BENCHMARKS:
        raise UserError(f"there is no benchmark {benchmark!r}", "--benchmark", f"choose {', '.join([*BENCHMARKS, *_VERSIONS])}")
    try:
        rows = read_rows(file)
        scores = BENCHMARKS[family](rows)
    except DataFormatError as error:
        where = error.where if str(file) in error.where else ": ".join(filter(None, (str(file), error.where)))
        raise DataFormatError(error.what, where, error.cure, error.code) from error
    for score in scores if benchmark in _VERSIONS else ():
        version = arena_hard.version_of(_category(score))
        if version and not benchmark.endswith(version):
            raise UserError(f"these judgments are of Arena-Hard {version}", str(file), f"give --benchmark {_ARENA_HARD}_{version}")
    return _style_controlled(rows, scores, file) if family == _ARENA_HARD else scores


def _style_controlled(rows: Sequence[Mapping[str, Any]], scores: list[BenchmarkScore], file: Path) -> list[BenchmarkScore]:
    """The scores of Arena-Hard at equal style, too, where the answers lie in model_answer beside model_judgment; else as they are.

    The baselines' may be the benchmark data's. Then all styles are counted anew, and alike: `daa eval` estimates lengths in tokens.
    """
    folder = file.resolve().parent.parent.parent / "model_answer"
    try:
        files = {model: folder / f"{safe_name(model)}.jsonl" for score in scores for model in (score.model, score.baseline)}
        official = {
            score.baseline: benchmark_file(f"arena_hard/model_answer_{arena_hard.version_of(_category(score))}_{score.baseline}.jsonl")
            for score in scores
            if not files[score.baseline].is_file()
        }
        answers = [row for answered in (files | official).values() for row in read_rows(answered)]
        if official:
            answers = [{**row, "metadata": None, "conv_metadata": None} for row in answers]
        return arena_hard.score_judgments(rows, answer_styles(answers))
    except UserError:
        return scores


def compare_files(benchmark: str, first: Path, second: Path) -> list[dict[str, Any]]:
    """The first file's models against the second's, one row for each model, category and judge that both files have.

    Raises UserError where they have no category by the same judge in common, or where the second holds several models there.
    """
    ours, theirs = (scores_of(benchmark, file) for file in (first, second))
    against = _by_kind(theirs)
    matched = [score for score in ours if _kind(score) in against]
    if not matched:
        raise _nothing_in_common(ours, theirs, f"{first} and {second}")
    rows = []
    for score in matched:
        (category, judge), (other, *more) = _kind(score), against[_kind(score)]
        if more:
            cure = "give this file first" if len({each.model for each in matched}) == 1 else "give a second file of one model's judgments"
            raise UserError(f"the second file holds more than one model: {other.model}, {more[0].model}", str(second), cure)
        found = {"benchmark": benchmark, "category": category, "judge": judge, "model": score.model, "against": other.model}
        rows.append(found | compare_scores(score, other).as_dict())
    return rows


def _by_kind(scores: Sequence[BenchmarkScore]) -> dict[tuple[str, str], list[BenchmarkScore]]:
    found: dict[tuple[str, str], list[BenchmarkScore]] = defaultdict(list)
    for score in scores:
        found[_kind(score)].append(score)
    return found


def _kind(score: BenchmarkScore) -> tuple[str, str]:
    """Category and judge."""
    return _category(score), score.judge


def _category(score: BenchmarkScore) -> str:
    return str(score.details.get("category", ""))


def _nothing_in_common(ours: Sequence[BenchmarkScore], theirs: Sequence[BenchmarkScore], where: str) -> UserError:
    if not {_category(score) for score in ours} & {_category(score) for score in theirs}:
        return UserError("the two files have no category in common", where, "compare judgments of one benchmark")
    judges = [", ".join(dict.fromkeys(score.judge or "one without a name" for score in scores)) for scores in (ours, theirs)]
    return UserError(f"the two files have no judge in common: {judges[0]}; and {judges[1]}", where, "judge both models alike")


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """A JSON list, one row a line; what is not a number is null."""
    return "[\n" + ",\n".join(json.dumps(without_nan(row), ensure_ascii=False, allow_nan=False) for row in rows) + "\n]"

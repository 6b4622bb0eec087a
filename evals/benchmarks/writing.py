"""Official files written whole: a file is there as it was or as it shall be, never half."""

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.benchmarks.alpaca_eval2 import difficulties
from evals.benchmarks.formats import LEADERBOARD_COLUMNS, leaderboard_row
from evals.benchmarks.score import BenchmarkScore
from evals.errors import DataFormatError, UserError
from evals.whole_files import replacing

Row = Mapping[str, Any]


def safe_name(model: str) -> str:
    """A file name for the model: "org/model" is "org__model". Raises UserError for a name without a letter or a digit."""
    name = re.sub(r"[^\w.+@=-]", "_", model.strip("/").replace("/", "__"))
    if not re.search(r"[^\W_]", name):
        raise UserError(f"{model!r} cannot name a file", cure="give the model a name of letters and digits")
    return name


def write_model_outputs(file: Path, rows: Sequence[Row]) -> None:
    """AlpacaEval's model_outputs.json: {dataset, instruction, output, generator} of each row, byte for byte what pandas writes."""
    write_json(file, [{key: row[key] for key in ("dataset", "instruction", "output", "generator")} for row in rows])


def write_annotations(file: Path, rows: Sequence[Row]) -> None:
    """annotations.json in official order; alpaca_eval takes an instruction's difficulty from its position, so that none may be missing.

    Raises DataFormatError for an instruction that is missing, twice there, or not the benchmark's.
    """
    by_instruction = {row["instruction"]: row for row in rows}
    order = list(difficulties())
    missing = [instruction for instruction in order if instruction not in by_instruction]
    if missing:
        what = f"{len(missing)} of {len(order)} instructions have no annotation, the first is {missing[0][:80]!r}"
        raise DataFormatError(what, str(file), "write a failed judgment as a row whose preference is None")
    if len(rows) != len(order):
        what = f"{len(rows)} annotations cannot be written for {len(order)} instructions"
        raise DataFormatError(what, str(file), "give one annotation for each of the benchmark's own instructions")
    write_json(file, [by_instruction[instruction] for instruction in order])


def write_leaderboard(file: Path, scores: Sequence[BenchmarkScore]) -> None:
    """leaderboard.csv, best first: the models' rows replace theirs, and the file's other rows and columns stay. One writer at a time.

    Raises DataFormatError for a file that is no leaderboard, UserError for two scores of one model.
    """
    rows = _read_leaderboard(file) if file.exists() else {}
    fresh = {score.model: leaderboard_row(score) for score in scores}
    if len(fresh) < len(scores):
        raise UserError("one model has several scores", str(file), "write a leaderboard for each judge")
    rows |= {model: {**dict.fromkeys(rows.get(model, {}), ""), **row} for model, row in fresh.items()}
    columns = list(dict.fromkeys([*LEADERBOARD_COLUMNS, *(column for row in rows.values() for column in row)]))
    ranked = sorted(rows.items(), key=lambda item: -float(item[1].get("length_controlled_winrate") or -math.inf))
    with replacing(file) as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(["", *columns])
        table.writerows([model, *(row.get(column, "") for column in columns)] for model, row in ranked)


def _read_leaderboard(file: Path) -> dict[str, dict[str, Any]]:
    with file.open(encoding="utf-8", newline="") as lines:
        table = csv.DictReader(lines)
        if not table.fieldnames or table.fieldnames[0] != "" or "win_rate" not in table.fieldnames:
            raise DataFormatError("this is not AlpacaEval's leaderboard.csv", str(file), "move it away or name another file")
        return {row.pop(""): dict(row) for row in table}


def write_json(file: Path, rows: Sequence[Row]) -> None:
    """A JSON list as pandas writes it (orient records, indent 2), but for floats, which keep all digits."""
    text = json.dumps(list(rows), indent=2, separators=(",", ":"), allow_nan=False)
    with replacing(file) as lines:
        lines.write(text.replace("/", "\\/"))


def write_json_lines(file: Path, rows: Sequence[Row]) -> None:
    """One row a line."""
    with replacing(file) as lines:
        lines.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)

"""AlpacaEval 2: the weighted judge's preferences, and the win rates that they give."""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from evals.benchmarks.files import TEXT, TEXT_OR_NONE, Column, benchmark_file, check_row, is_number, read_csv, read_rows
from evals.benchmarks.length_control import GamedRows, LengthControl, length_controlled
from evals.benchmarks.score import BenchmarkScore, interval
from evals.errors import DataFormatError, UnreadableVerdictsError
from evals.statistics import probability

PROMPTS = 805
BASELINE = "gpt4_1106_preview"
_TIE, _HIGHEST = 1.5, 2
_PREFERENCE = Column(
    lambda value: value is None or value == 0 or is_number(value, 1, _HIGHEST) or (isinstance(value, float) and math.isnan(value)),
    "a number from 1 to 2, 0 for a tie, or null for a verdict that cannot be read",
)
# What a row may leave out.
_UNNAMED = {"generator_1": None}
_TEXTS = ("instruction", "output_1", "output_2", "generator_2")
_ANNOTATION = {**dict.fromkeys(_TEXTS, TEXT), "generator_1": TEXT_OR_NONE, "preference": _PREFERENCE}


def score_annotations(rows: Sequence[Mapping[str, Any]]) -> list[BenchmarkScore]:
    """Scores of the models in rows of `annotations.json`, one for each model and judge, in the order of their first row.

    Rows are joined with the benchmark's instructions by their text, so that order and missing rows do not matter; the last row of an
    instruction counts. The headline is the length-controlled win rate. Raises DataFormatError for a row that is no annotation, whose
    instruction is not the benchmark's or that judges its model against another baseline than those before it, and UnreadableVerdictsError
    for a model without a readable preference.
    """
    by_model: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    baselines: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        check_row({**_UNNAMED, **row}, number, _ANNOTATION, "annotations", "give AlpacaEval's annotations.json")
        model, against = row["generator_2"], row.get("generator_1")
        if against and baselines.setdefault(model, against) != against:
            what = f"row {number} judges {model} against {against}, and the rows before it against {baselines[model]}"
            raise DataFormatError(what, "annotations", "score what was judged against each baseline apart")
        by_model[model, str(row.get("annotator", ""))][row["instruction"]] = row
    return [_score(model, judge, list(annotations.values())) for (model, judge), annotations in by_model.items()]


def is_switched(instruction: str) -> bool:
    """Whether the judge is shown the candidate's output first: drawn from the instruction and 0, as by the official annotator."""
    return random.Random(f"is_switched_outputs{instruction}0").choices([False, True], k=1)[0]


def preference(logp_first: float | None, logp_second: float | None, switched: bool) -> float | None:
    """From 1 (the baseline wins) to 2 (the candidate wins), from the judge's log-probabilities of the two outputs' letters.

    A letter that is None has no probability; without either the verdict is unreadable: None.
    """
    first, second = probability(logp_first), probability(logp_second)
    if first + second == 0:
        return None
    value = 2 - first / (first + second)
    return 3 - value if switched else value


def _score(model: str, judge: str, rows: Sequence[Mapping[str, Any]]) -> BenchmarkScore:
    readable = [row for row in rows if _preference(row) is not None]
    if not readable:
        raise UnreadableVerdictsError(f"none of {len(rows)} preferences of {model} can be read", "annotations", "judge the outputs again")
    preferences = np.array([_preference(row) for row in readable], dtype=np.float64)
    count = len(readable)
    raw = 100 * float(preferences.mean() - 1)
    raw_error = 100 * float(preferences.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    controlled = _controlled(readable, preferences)
    low, high = interval(controlled.win_rate, controlled.standard_error, count, (0, 100))
    wins, draws = int((preferences > _TIE).sum()), int((preferences == _TIE).sum())
    details = {
        "baseline": next((row["generator_1"] for row in rows if row.get("generator_1")), ""),
        "win_rate": raw,
        "win_rate_standard_error": raw_error,
        "n_wins": wins,
        "n_wins_base": count - wins - draws,
        "n_draws": draws,
        "n_total": count,
        "missing": PROMPTS - len(rows),
        "discrete_win_rate": 100 * (wins + 0.5 * draws) / count,
        "length_controlled_winrate": controlled.win_rate,
        "lc_standard_error": controlled.standard_error,
        "lc_weights": controlled.weights,
        "lc_c": controlled.c,
        "avg_length": int(fmean(len(row["output_2"]) for row in rows)),
    }
    unreadable = len(rows) - count
    influence = {row["instruction"]: float(share) for row, share in zip(readable, controlled.influence, strict=True)}
    return BenchmarkScore(
        "alpaca_eval2", model, judge, controlled.win_rate, controlled.standard_error, low, high, count, unreadable, details, influence
    )


def _controlled(rows: Sequence[Mapping[str, Any]], preferences: np.ndarray) -> LengthControl:
    """Length control; a model compared with itself, under one name, is the baseline: exactly 50."""
    if all(row.get("generator_1") == row["generator_2"] for row in rows):
        return LengthControl((0.0, 0.0, 0.0), math.nan, 50.0, 0.0, np.zeros(len(rows)))
    difficulty = difficulties()
    unknown = next((row["instruction"] for row in rows if row["instruction"] not in difficulty), None)
    if unknown is not None:
        raise DataFormatError(f"the benchmark has no instruction {unknown[:80]!r}", "annotations", "score AlpacaEval 2's own instructions")
    lengths = np.array([len(row["output_1"]) - len(row["output_2"]) for row in rows], dtype=np.float64)
    known = np.array([difficulty[row["instruction"]] for row in rows])
    return length_controlled(preferences - 1, lengths, known, gamed_rows())


def _preference(row: Mapping[str, Any]) -> float | None:
    """A row's preference; 0 is the older spelling of a tie."""
    value = row["preference"]
    if value is None or math.isnan(value):
        return None
    return _TIE if value == 0 else float(value)


def difficulties() -> Mapping[str, float]:
    """Each instruction's difficulty, by its text. Raises DataFormatError that says which file to place where."""
    names = ("instruction_difficulty.csv", "instructions.jsonl")
    return _read_difficulties(*(benchmark_file(f"alpaca_eval2/{name}") for name in names))


def gamed_rows() -> GamedRows:
    """The verdicts on the gamed baselines. Raises DataFormatError that says which file to place where."""
    try:
        file = benchmark_file("alpaca_eval2/df_gamed.csv")
    except DataFormatError:
        file = benchmark_file("alpaca_eval2/df_gamed_reconstructed.csv")
    return _read_gamed(file)


@cache
def _read_difficulties(by_index: Path, instructions: Path) -> Mapping[str, float]:
    try:
        values = {row["index"]: float(row["instruction_difficulty"]) for row in read_csv(by_index)}
        return {row["instruction"]: values[str(row["index"])] for row in read_rows(instructions)}
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(f"{by_index} and {instructions}", error) from error


@cache
def _read_gamed(file: Path) -> GamedRows:
    rows = read_csv(file)
    try:
        features = [[math.tanh(float(row["std_delta_len"])), float(row["instruction_difficulty"]), 0.0] for row in rows]
        return GamedRows(np.array(features), np.array([float(row["preference"]) for row in rows]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(str(file), error) from error


def _damaged(where: str, error: Exception) -> DataFormatError:
    what = f"the benchmark's data lack a column, a row or a number: {error}"
    return DataFormatError(what, where, "move the files away, and run `daa eval fetch`")

"""MT-Bench: ratings from 1 to 10 of two turns to each of 80 questions."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from evals.benchmarks.score import BenchmarkScore, interval
from evals.errors import DataFormatError, UnreadableVerdictsError

_PATTERNS = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
_FAILED = -1
# The official order of questions: ten of each.
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
_FIRST_QUESTION, _IN_A_CATEGORY = 81, 10


def parse_rating(judgment: str) -> float | None:
    """The first rating in a judge's text, in double brackets or else in single ones; None when there is none."""
    for pattern in _PATTERNS:
        found = pattern.search(judgment)
        if found:
            return float(found.group(1))
    return None


def score_judgments(rows: Sequence[Mapping[str, Any]]) -> list[BenchmarkScore]:
    """Averages of the models in rows of `model_judgment/gpt-4_single.jsonl`, one for each model and judge.

    A failed judgment (-1) is in no average and counted as unreadable. The error takes questions, not turns, as independent. Raises
    DataFormatError for a row that is no judgment, UnreadableVerdictsError for a model without a readable one.
    """
    by_model: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for number, row in enumerate(rows, 1):
        missing = [key for key in ("question_id", "model", "score", "turn") if key not in row]
        if missing:
            raise DataFormatError(f"row {number} has no `{missing[0]}`", "judgments", "give MT-Bench's single-answer judgments")
        judge = row.get("judge", "")
        by_model[row["model"], judge[0] if isinstance(judge, list) else str(judge)].append(row)
    return [_score(model, judge, judgments) for (model, judge), judgments in by_model.items()]


def _score(model: str, judge: str, rows: Sequence[Mapping[str, Any]]) -> BenchmarkScore:
    readable = [row for row in rows if row["score"] is not None and row["score"] != _FAILED]
    if not readable:
        raise UnreadableVerdictsError(f"none of {len(rows)} judgments of {model} can be read", "judgments", "judge the answers again")
    mean = fmean(row["score"] for row in readable)
    deviations: dict[int, float] = defaultdict(float)
    for row in readable:
        deviations[row["question_id"]] += row["score"] - mean
    count = len(deviations)
    error = math.sqrt(sum(value**2 for value in deviations.values()) * count / max(count - 1, 1)) / len(readable)
    low, high = interval(mean, error, count, (1, 10))
    details = {
        "turn1": _mean(row["score"] for row in readable if row["turn"] == 1),
        "turn2": _mean(row["score"] for row in readable if row["turn"] == 2),
        "n_questions": count,
        **{category: _mean(row["score"] for row in readable if _category(row["question_id"]) == category) for category in CATEGORIES},
    }
    return BenchmarkScore("mt_bench", model, judge, mean, error, low, high, len(readable), len(rows) - len(readable), details)


def _category(question: int) -> str | None:
    number = (question - _FIRST_QUESTION) // _IN_A_CATEGORY
    return CATEGORIES[number] if 0 <= number < len(CATEGORIES) else None


def _mean(values: Any) -> float | None:
    """The mean, or None of nothing."""
    kept = list(values)
    return fmean(kept) if kept else None

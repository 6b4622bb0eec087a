"""MT-Bench: ratings from 1 to 10 of two turns to each of 80 questions."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from evals.benchmarks.files import TEXT, Column, check_row, is_number
from evals.benchmarks.score import BenchmarkScore, interval
from evals.errors import UnreadableVerdictsError

_PATTERNS = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
_LOWEST, _HIGHEST = 1, 10
_FAILED = -1
_WINNERS = {"[[A]]": "A", "[[B]]": "B", "[[C]]": "tie"}
# The official order of questions: ten of each.
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
_FIRST_QUESTION, _IN_A_CATEGORY = 81, 10
QUESTIONS = len(CATEGORIES) * _IN_A_CATEGORY

_QUESTION = Column(lambda value: isinstance(value, int), "a whole number")
_TURN = Column(lambda value: value in (1, 2), "1 or 2")
# The official tool keeps a judge's 0, which is below the scale.
_RATING = Column(
    lambda value: value is None or value == _FAILED or is_number(value, 0, _HIGHEST),
    f"a number up to {_HIGHEST}, or {_FAILED} for a judgment that failed",
)
_WINNER = Column(lambda value: value in ("model_1", "model_2", "tie", "error"), "model_1, model_2, tie or error")
_SINGLE = {"question_id": _QUESTION, "model": TEXT, "score": _RATING, "turn": _TURN}
_PAIR = {"question_id": _QUESTION, "model_1": TEXT, "model_2": TEXT, "g1_winner": _WINNER, "g2_winner": _WINNER, "turn": _TURN}


def parse_rating(judgment: str) -> float | None:
    """The first rating in a judge's text, in double brackets or else in single ones; None when there is none, or none from 1 to 10."""
    found = next(filter(None, (pattern.search(judgment) for pattern in _PATTERNS)), None)
    rating = None if found is None else float(found.group(1))
    return rating if rating is not None and _LOWEST <= rating <= _HIGHEST else None


def parse_winner(judgment: str) -> str | None:
    """Which assistant the judge's text prefers, "A", "B" or "tie"; None when it does not say. [[A]] is looked for first."""
    return next((winner for label, winner in _WINNERS.items() if label in judgment), None)


def score_judgments(rows: Sequence[Mapping[str, Any]]) -> list[BenchmarkScore]:
    """Averages of the models in rows of `model_judgment/gpt-4_single.jsonl`, one for each model and judge.

    A failed judgment (-1) is in no average and counted as unreadable. The error takes questions, not turns, as independent. Raises
    DataFormatError for a row that is no judgment, UnreadableVerdictsError for a model without a readable one.
    """
    by_model: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for number, row in enumerate(rows, 1):
        check_row(row, number, _SINGLE, "judgments", "give MT-Bench's single-answer judgments")
        by_model[row["model"], _judge(row)].append(row)
    return [_score(model, judge, judgments) for (model, judge), judgments in by_model.items()]


def _judge(row: Mapping[str, Any]) -> str:
    """A row's judge, which official files name together with the prompt that it was given; empty where it is not named."""
    judge = row.get("judge", "")
    return str(next(iter(judge), "")) if isinstance(judge, list | tuple) else str(judge)


def _score(model: str, judge: str, rows: Sequence[Mapping[str, Any]]) -> BenchmarkScore:
    readable = [row for row in rows if row["score"] is not None and row["score"] != _FAILED]
    if not readable:
        raise UnreadableVerdictsError(f"none of {len(rows)} judgments of {model} can be read", "judgments", "judge the answers again")
    details = {
        "turn1": _mean(row["score"] for row in readable if row["turn"] == 1),
        "turn2": _mean(row["score"] for row in readable if row["turn"] == 2),
        "n_questions": len({row["question_id"] for row in readable}),
        **{category: _mean(row["score"] for row in readable if _category(row["question_id"]) == category) for category in CATEGORIES},
    }
    values = [(row["question_id"], row["score"]) for row in readable]
    return _averaged(("mt_bench", model, judge), values, (_LOWEST, _HIGHEST), len(rows) - len(readable), details)


def score_pairs(rows: Sequence[Mapping[str, Any]]) -> list[BenchmarkScore]:
    """Win rates of `model_1` against `model_2` in rows of `model_judgment/gpt-4_pair.jsonl`, in percent, ties counted half.

    Games that disagree are a tie, as in the official tool; a row with an unreadable game is unreadable. Raises DataFormatError for a row
    that is no comparison, UnreadableVerdictsError for a model without a readable one.
    """
    by_models: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for number, row in enumerate(rows, 1):
        check_row(row, number, _PAIR, "judgments", "give MT-Bench's pairwise judgments")
        by_models[row["model_1"], row["model_2"], _judge(row)].append(row)
    return [_pair_score(*key, judgments) for key, judgments in by_models.items()]


def _pair_score(model: str, baseline: str, judge: str, rows: Sequence[Mapping[str, Any]]) -> BenchmarkScore:
    readable = [row for row in rows if "error" not in (row["g1_winner"], row["g2_winner"])]
    if not readable:
        raise UnreadableVerdictsError(f"none of {len(rows)} comparisons of {model} can be read", "judgments", "judge the answers again")
    won = [100 * _won(row) for row in readable]
    same = [row["g1_winner"] == row["g2_winner"] for row in readable]
    details = {
        "baseline": baseline,
        "win_rate": 100 * fmean(value == 100 for value in won),
        "loss_rate": 100 * fmean(value == 0 for value in won),
        "win_rate_adjusted": fmean(won),
        "swap_consistency": fmean(same),
        "first_seat": 50 * fmean(_first_seat(row) for row in readable),
    }
    values = [(row["question_id"], value) for row, value in zip(readable, won, strict=True)]
    return _averaged(("mt_bench_pair", model, judge), values, (0, 100), len(rows) - len(readable), details)


def _averaged(
    of: tuple[str, str, str], values: Sequence[tuple[Any, float]], bounds: tuple[float, float], unreadable: int, details: Mapping[str, Any]
) -> BenchmarkScore:
    """The mean of values by question, `of` a benchmark, model and judge, with its error."""
    mean = fmean(value for _, value in values)
    influence = _influence(values, mean)
    error = math.sqrt(sum(share**2 for share in influence.values()))
    low, high = interval(mean, error, len(influence), bounds)
    return BenchmarkScore(*of, mean, error, low, high, len(values), unreadable, details, influence)


def _won(row: Mapping[str, Any]) -> float:
    """1, 0.5 or 0 for the first model: only games that agree have a winner."""
    return {"model_1": 1.0, "model_2": 0.0}.get(row["g1_winner"], 0.5) if row["g1_winner"] == row["g2_winner"] else 0.5


def _first_seat(row: Mapping[str, Any]) -> float:
    """The first seat's points in two games: model_1 sits there in the first, model_2 in the second."""
    return _points(row["g1_winner"], "model_1") + _points(row["g2_winner"], "model_2")


def _points(winner: str, of: str) -> float:
    return 0.5 if winner == "tie" else float(winner == of)


def _influence(values: Sequence[tuple[Any, float]], mean: float) -> dict[str, float]:
    """Each question's share of the mean's error; both turns of a question are one unit."""
    shares: dict[str, float] = defaultdict(float)
    for question, value in values:
        shares[str(question)] += (value - mean) / len(values)
    count = len(shares)
    return {question: share * math.sqrt(count / max(count - 1, 1)) for question, share in shares.items()}


def _category(question: int) -> str | None:
    number = (question - _FIRST_QUESTION) // _IN_A_CATEGORY
    return CATEGORIES[number] if 0 <= number < len(CATEGORIES) else None


def _mean(values: Any) -> float | None:
    """The mean, or None of nothing."""
    kept = list(values)
    return fmean(kept) if kept else None

"""Arena-Hard: two games a question with swapped seats, and the score that their verdicts give."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from evals.benchmarks.score import BenchmarkScore, interval
from evals.errors import DataFormatError, UnreadableVerdictsError
from evals.statistics import wilson_interval

# A verdict's worth to the assistant shown as A, and its weight: a strong verdict counts three times.
VERDICTS: Mapping[str, tuple[float, int]] = {"A>>B": (1.0, 3), "A>B": (1.0, 1), "A=B": (0.5, 1), "B>A": (0.0, 1), "B>>A": (0.0, 3)}
_SAME = {"B=A": "A=B", "A<B": "B>A", "A<<B": "B>>A", "B<A": "A>B", "B<<A": "A>>B"}
_PATTERNS = (re.compile(r"\[\[([AB<>=]+)\]\]"), re.compile(r"\[([AB<>=]+)\]"))


def parse_verdict(judgment: str) -> str | None:
    """The verdict at the end of a judge's text, as a key of VERDICTS; None when there is none that can be read."""
    for pattern in _PATTERNS:
        found = [label.strip() for label in pattern.findall(judgment.upper())]
        if found:
            return known_verdict(found[-1])
    return None


def known_verdict(label: str | None) -> str | None:
    """A label as a key of VERDICTS; None for one that means nothing, such as A>>A."""
    if label is None:
        return None
    return _SAME.get(label, label if label in VERDICTS else None)


def score_judgments(rows: Sequence[Mapping[str, Any]]) -> list[BenchmarkScore]:
    """Scores of the models in rows of `model_judgment/<judge>/<model>.jsonl` (of 2024 or 2025), one for each model, judge and category.

    The baseline is A in the first game and B in the second. The score is the weighted mean over all games that can be read; its error
    takes questions, not games, as independent. Raises DataFormatError for a row without games, UnreadableVerdictsError when no game of
    a model can be read.
    """
    by_model: dict[tuple[str, str, str], dict[str, list[tuple[float, int]]]] = defaultdict(dict)
    unreadable: dict[tuple[str, str, str], int] = defaultdict(int)
    for number, row in enumerate(rows, 1):
        question = row.get("uid", row.get("question_id"))
        if question is None or "model" not in row or not isinstance(row.get("games"), list):
            raise DataFormatError(f"row {number} is no judgment: it needs uid, model and games", "judgments", "give Arena-Hard's files")
        key = (row["model"], str(row.get("judge", "")), str(row.get("category", "arena-hard-v0.1")))
        games = [_candidate(game, is_first=seat == 0) for seat, game in enumerate(row["games"][:2])]
        by_model[key][question] = [game for game in games if game is not None]
        unreadable[key] += 2 - len(by_model[key][question])
    return [_score(key, questions, unreadable[key]) for key, questions in by_model.items()]


def _candidate(game: Mapping[str, Any] | None, is_first: bool) -> tuple[float, int] | None:
    """A game from the candidate's side: its score in [0, 1] and its weight."""
    verdict = known_verdict(game.get("score")) if game else None
    if verdict is None:
        return None
    value, weight = VERDICTS[verdict]
    return (1 - value if is_first else value), weight


def _score(key: tuple[str, str, str], questions: Mapping[str, Sequence[tuple[float, int]]], unreadable: int) -> BenchmarkScore:
    model, judge, category = key
    games = [game for of_question in questions.values() for game in of_question]
    if not games:
        raise UnreadableVerdictsError(f"none of {unreadable} games of {model} can be read", "judgments", "judge the answers again")
    weights = sum(weight for _, weight in games)
    mean = sum(value * weight for value, weight in games) / weights
    judged = [of_question for of_question in questions.values() if of_question]
    deviations = [sum(weight * (value - mean) for value, weight in of_question) for of_question in judged]
    count = len(judged)
    error = 100 * math.sqrt(sum(deviation**2 for deviation in deviations) * count / max(count - 1, 1)) / weights
    bounds = wilson_interval(mean, count)
    low, high = interval(100 * mean, error, count, (0, 100)) if error > 0 else (100 * bounds.low, 100 * bounds.high)
    details = {"category": category, "n_questions": count, "n_rows": weights}
    return BenchmarkScore("arena_hard", model, judge, 100 * mean, error, low, high, len(games), unreadable, details)

"""Arena-Hard: two games a question with swapped seats, and the score that their verdicts give."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from evals.benchmarks.files import TEXT, TEXT_OR_NONE, Column, check_row
from evals.benchmarks.score import BenchmarkScore, interval
from evals.benchmarks.style_control import Battle, ControlledScore, Style, control_battles
from evals.errors import DataFormatError, UnreadableVerdictsError

# A verdict's worth to the assistant shown as A, and its weight: a strong verdict counts three times.
VERDICTS: Mapping[str, tuple[float, int]] = {"A>>B": (1.0, 3), "A>B": (1.0, 1), "A=B": (0.5, 1), "B>A": (0.0, 1), "B>>A": (0.0, 3)}
# In the categories that have a published leaderboard.
QUESTIONS = 500
# What the candidates of a category are judged against.
BASELINES: Mapping[str, str] = {
    "hard_prompt": "o3-mini-2025-01-31",
    "coding": "o3-mini-2025-01-31",
    "math": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
    "arena-hard-v0.1": "gpt-4-0314",
}
FIRST_VERSION = "arena-hard-v0.1"
_SAME = {"B=A": "A=B", "A<B": "B>A", "A<<B": "B>>A", "B<A": "A>B", "B<<A": "A>>B"}
_PATTERNS = (re.compile(r"\[\[([AB<>=]+)\]\]"), re.compile(r"\[([AB<>=]+)\]"))

# What a row may leave out.
_UNNAMED = {"baseline": None, "category": ""}
_JUDGMENT = {
    "uid": TEXT,
    "model": TEXT,
    "category": TEXT,
    "baseline": TEXT_OR_NONE,
    "games": Column(lambda value: all(_is_game(game) for game in value), "games with a `score` each, such as A>B, or null"),
}

Answers = Mapping[str, Mapping[str, Style]]
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class _Game:
    """A readable game: the candidate's score in [0, 1], the weight of the verdict, and whether the candidate was shown as A."""

    score: float
    weight: int
    candidate_is_first: bool


@dataclass(frozen=True)
class _Judgment:
    """The games of one question that can be read, and how many cannot; `baseline` is what the file says of it."""

    games: Sequence[_Game]
    unreadable: int
    baseline: str | None


_Judgments = Mapping[str, _Judgment]


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


def version_of(category: str) -> str:
    """The version of the benchmark that has a category; empty for a category of somebody's own."""
    return "" if category not in BASELINES else "v0.1" if category == FIRST_VERSION else "v2.0"


def score_judgments(rows: Sequence[Mapping[str, Any]], answers: Answers | None = None) -> list[BenchmarkScore]:
    """Scores of the models in rows of `model_judgment/<judge>/<model>.jsonl` (of 2024 or 2025), one for each model, judge and category.

    The baseline is A in the first game and B in the second. The score is the weighted mean over all games that can be read; its error
    takes questions, not games, as independent. With `answers` (styles by model and question, the baselines' among them, as
    `style_control.answer_styles` reads them) the details get the score at equal style, all models of a judge and category fitted
    together. Raises DataFormatError for a row without games, against a baseline of its own or without an answer, UnreadableVerdictsError
    when no game of a model can be read.
    """
    by_model = _grouped(rows)
    scores = [_score(key, judgments) for key, judgments in by_model.items()]
    if answers is None:
        return scores
    controlled = _style_controlled(by_model, answers)
    return [replace(score, details={**score.details, **controlled[key]}) for key, score in zip(by_model, scores, strict=True)]


def _grouped(rows: Sequence[Mapping[str, Any]]) -> dict[_Key, dict[str, _Judgment]]:
    """Judgments by question, by model, judge and category; the last one of a question counts."""
    by_model: dict[_Key, dict[str, _Judgment]] = defaultdict(dict)
    baselines: dict[tuple[str, str], str] = {}
    for number, row in enumerate(rows, 1):
        question = row.get("uid", row.get("question_id"))
        if question is None or "model" not in row or not isinstance(row.get("games"), list):
            raise DataFormatError(f"row {number} is no judgment: it needs uid, model and games", "judgments", "give Arena-Hard's files")
        check_row({**_UNNAMED, **row, "uid": question}, number, _JUDGMENT, "judgments", "give Arena-Hard's files")
        model, category, baseline = row["model"], str(row.get("category", FIRST_VERSION)), row.get("baseline")
        against = baseline or BASELINES.get(category)
        if against and baselines.setdefault((model, category), against) != against:
            what = f"row {number} judges {model} against {against}, and the rows of {category} before it against"
            raise DataFormatError(f"{what} {baselines[model, category]}", "judgments", "score what was judged against each baseline apart")
        games = [_candidate(game, is_first=seat == 1) for seat, game in enumerate(row["games"][:2])]
        readable = [game for game in games if game is not None]
        by_model[model, str(row.get("judge", "")), category][question] = _Judgment(readable, 2 - len(readable), baseline)
    return by_model


def _is_game(value: Any) -> bool:
    """Whether a game is one of official files, readable or not."""
    return value is None or (isinstance(value, dict) and isinstance(value.get("score", ""), str | None))


def _candidate(game: Mapping[str, Any] | None, is_first: bool) -> _Game | None:
    """A game from the candidate's side."""
    verdict = known_verdict(game.get("score")) if game else None
    if verdict is None:
        return None
    value, weight = VERDICTS[verdict]
    return _Game(value if is_first else 1 - value, weight, is_first)


def _score(key: _Key, judgments: _Judgments) -> BenchmarkScore:
    model, judge, category = key
    games = [game for judgment in judgments.values() for game in judgment.games]
    unreadable = sum(judgment.unreadable for judgment in judgments.values())
    if not games:
        raise UnreadableVerdictsError(f"none of {unreadable} games of {model} can be read", "judgments", "judge the answers again")
    weights = sum(game.weight for game in games)
    mean = sum(game.score * game.weight for game in games) / weights
    influence = _influence(judgments, mean)
    count = len(influence)
    error = math.sqrt(sum(share**2 for share in influence.values()))
    low, high = interval(100 * mean, error, count, (0, 100))
    baseline = next((judgment.baseline for judgment in judgments.values() if judgment.baseline), BASELINES.get(category, ""))
    details = {"category": category, "baseline": baseline, "n_questions": count, "n_rows": weights, **_position_bias(judgments)}
    return BenchmarkScore("arena_hard", model, judge, 100 * mean, error, low, high, len(games), unreadable, details, influence=influence)


def _influence(judgments: _Judgments, mean: float) -> dict[str, float]:
    """Each question's share of the error of a weighted mean over games, in percent: the sum of their squares is the squared error."""
    judged = {question: judgment.games for question, judgment in judgments.items() if judgment.games}
    weights = sum(game.weight for games in judged.values() for game in games)
    scale = 100 * math.sqrt(len(judged) / max(len(judged) - 1, 1)) / weights
    return {question: scale * sum(game.weight * (game.score - mean) for game in games) for question, games in judged.items()}


def _position_bias(judgments: _Judgments) -> dict[str, float | None]:
    """What the seats did to the verdicts, over the games that can be read.

    `swap_consistency` is the share of questions whose two games have one winner, or are both ties; None without such a question.
    `first_seat` is the mean score in percent, weighted as the candidate's, of the answer shown as A: 50 when seats do not matter.
    """
    twice = [judgment.games for judgment in judgments.values() if len(judgment.games) == 2]
    games = [game for judgment in judgments.values() for game in judgment.games]
    shown_first = sum(game.weight * (game.score if game.candidate_is_first else 1 - game.score) for game in games)
    return {
        "swap_consistency": fmean(first.score == second.score for first, second in twice) if twice else None,
        "first_seat": 100 * shown_first / sum(game.weight for game in games),
    }


def _style_controlled(by_model: Mapping[_Key, _Judgments], answers: Answers) -> dict[_Key, dict[str, Any]]:
    """The details that style control adds."""
    battles: dict[tuple[str, str], list[Battle]] = defaultdict(list)
    for (model, judge, category), judgments in by_model.items():
        for question, judgment in judgments.items():
            if judgment.games:
                own = _style(answers, model, question)
                other = _style(answers, judgment.baseline or _baseline(category), question)
                battles[judge, category] += [Battle(model, question, game.score, game.weight, own, other) for game in judgment.games]
    fits = {key: control_battles(of_category) for key, of_category in battles.items()}
    return {
        (model, judge, category): {
            **_controlled_details(fits[judge, category].scores[model]),
            "style_coefficients": dict(fits[judge, category].coefficients),
        }
        for model, judge, category in by_model
    }


def _controlled_details(score: ControlledScore) -> dict[str, float]:
    return {
        "style_controlled": score.score,
        "style_controlled_standard_error": score.standard_error,
        "style_controlled_low": score.low,
        "style_controlled_high": score.high,
        "style_controlled_official": score.official,
    }


def _baseline(category: str) -> str:
    if category not in BASELINES:
        raise DataFormatError(f"the rows of {category} do not name their baseline", "judgments", "write `baseline` into each row")
    return BASELINES[category]


def _style(answers: Answers, model: str, question: str) -> Style:
    style = answers.get(model, {}).get(question)
    if style is None:
        cure = "give the answers of the candidates and of their baseline"
        raise DataFormatError(f"there is no answer of {model} to question {question}", "answers", cure)
    return style

"""Arena-Hard's style control: how often a model would win if its answers were no longer and no more marked up than the baseline's.

A Bradley-Terry model of games against one baseline: log-odds = strength of the candidate + style difference @ coefficients, with
coefficients shared by all candidates given, as in lmarena/arena-hard-auto (2025), show_result.py. The optimum is exact, and the error takes
questions, not games, as independent.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.errors import DataFormatError, UserError
from evals.statistics import student_quantile

Array = NDArray[np.float64]
Style = Mapping[str, Any]

FEATURES = ("length", "headers", "lists", "bold")
# Keeps the optimum finite where style separates all verdicts; elsewhere it moves no score by 1e-6 of a point.
RIDGE = 1e-6
# Questions whose verdicts are met this closely leave nothing to tell the error from.
_EXPLAINED = 1e-3
_NO_SPREAD = 1e-12

_CODE = re.compile(r"```[^`]*```")
_HEADER = re.compile(r"^(#{1,6})\s", re.MULTILINE)
_LISTS = {"ordered": re.compile(r"^\s*\d+\.\s", re.MULTILINE), "unordered": re.compile(r"^\s*[-*+]\s", re.MULTILINE)}
_BOLD = {"**": re.compile(r"\*\*[^*\n]+\*\*"), "__": re.compile(r"__[^_\n]+__")}

# Tokens a match: a word, up to three digits, a run of punctuation and one of white space are one each; other scripts count by letter.
_TOKENS = {
    re.compile(r" ?[A-Za-z\u00c0-\u024f]+|\d{1,3}| ?(?:(?![A-Za-z\d\u00c0-\u1fff\u2e80-\U0010ffff])\S)+\n*|\s*\n|\s+"): 1.0,
    re.compile(r"(?<=[A-Za-z\u00c0-\u024f]{8})[A-Za-z\u00c0-\u024f]"): 0.15,
    re.compile(r"[\u0250-\u1fff]"): 0.2,
    re.compile(r"[\u2e80-\U0010ffff]"): 0.8,
}


@dataclass(frozen=True)
class Battle:
    """One readable game: the candidate's result in [0, 1], its weight, and the style of both answers (see `answer_style`)."""

    model: str
    question: str
    result: float
    weight: float
    candidate: Style
    baseline: Style


@dataclass(frozen=True)
class Battles:
    """N games as arrays: names of `models` and `questions` (N,), `results` in [0, 1] and `weights` (N,), `style` differences (N, 4)."""

    models: NDArray[np.str_]
    questions: NDArray[np.str_]
    results: Array
    weights: Array
    style: Array


@dataclass(frozen=True)
class ControlledScore:
    """The chance against the baseline at equal style, in percent, with its error and 95 % interval (made on the scale of log-odds).

    `official` is the chance at the mean style difference of the battles fitted, which is what the official tool prints. `influence` holds
    each question's share of the error: the sum of the squares is the squared error. Where the verdicts cannot tell strength from style
    (separated data, too few questions) the error is not a number, the interval is the whole scale and there is no influence.
    """

    score: float
    standard_error: float
    low: float
    high: float
    official: float
    influence: Mapping[str, float]


@dataclass(frozen=True)
class StyleControl:
    """Scores by model, and what one standard deviation of each feature adds to the log-odds."""

    scores: Mapping[str, ControlledScore]
    coefficients: Mapping[str, float]


def answer_style(text: str, count_tokens: Callable[[str], int] | None = None) -> dict[str, Any]:
    """An answer's length and markdown, in the form of the official `metadata`; markdown inside fenced code does not count.

    `count_tokens` should be the official one, tiktoken's for gpt-4o. Without it tokens are estimated from words, digits, punctuation and
    letters: on the 750 official o3-mini answers, in many languages, 7.5 % off on average.
    """
    prose = _CODE.sub("``````", text)
    levels = Counter(len(marks) for marks in _HEADER.findall(prose))
    return {
        "token_len": (count_tokens or estimated_tokens)(text),
        "header_count": {f"h{level}": levels[level] for level in range(1, 7)},
        "list_count": {kind: len(pattern.findall(prose)) for kind, pattern in _LISTS.items()},
        "bold_count": {kind: len(pattern.findall(prose)) for kind, pattern in _BOLD.items()},
    }


def estimated_tokens(text: str) -> int:
    """How many tokens gpt-4o's tokenizer would make, about; the same text always gives the same number."""
    return round(sum(cost * len(pattern.findall(text)) for pattern, cost in _TOKENS.items()))


def answer_styles(rows: Sequence[Mapping[str, Any]], count_tokens: Callable[[str], int] | None = None) -> dict[str, dict[str, Style]]:
    """Styles by model and question of rows of `model_answer/<model>.jsonl` (of 2024 or 2025): the stored metadata, else `answer_style`.

    Estimated lengths beside stored ones are compared as they are. Raises DataFormatError for a row that is no answer.
    """
    styles: dict[str, dict[str, Style]] = {}
    for number, row in enumerate(rows, 1):
        try:
            model, question = row.get("model") or row["model_id"], row.get("uid") or row["question_id"]
            stored = row.get("metadata") or row.get("conv_metadata")
            style = stored or answer_style(_answer(row), count_tokens)
        except (KeyError, IndexError, TypeError) as error:
            raise DataFormatError(f"row {number} is no answer: {error!r}", "answers", "give Arena-Hard's model_answer files") from error
        styles.setdefault(model, {})[question] = style
    return styles


def _answer(row: Mapping[str, Any]) -> str:
    if "choices" in row:
        return row["choices"][0]["turns"][0]["content"]
    content = row["messages"][-1]["content"]
    return content["answer"] if isinstance(content, Mapping) else content


def style_difference(candidate: Style, baseline: Style) -> tuple[float, ...]:
    """FEATURES of an answer against the baseline's, each in [-1, 1]: relative length, and densities of markdown compared."""
    (length, *marks), (other_length, *other_marks) = _sizes(candidate), _sizes(baseline)
    relative = (length - other_length) / (length + other_length) if length + other_length else 0.0
    densities = [(mark / (length + 1), other / (other_length + 1)) for mark, other in zip(marks, other_marks, strict=True)]
    return relative, *((own - other) / (own + other + 1) for own, other in densities)


def _sizes(style: Style) -> tuple[float, ...]:
    try:
        return style["token_len"], *(sum(style[key].values()) for key in ("header_count", "list_count", "bold_count"))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataFormatError(f"{style!r} is no style metadata: {error!r}", "answers", "make it with answer_style") from error


def control_battles(battles: Sequence[Battle]) -> StyleControl:
    """`control_style` of single games."""
    return control_style(
        Battles(
            np.array([battle.model for battle in battles], dtype=np.str_),
            np.array([battle.question for battle in battles], dtype=np.str_),
            np.array([battle.result for battle in battles], dtype=np.float64),
            np.array([battle.weight for battle in battles], dtype=np.float64),
            np.array([style_difference(battle.candidate, battle.baseline) for battle in battles], dtype=np.float64),
        )
    )


def control_style(battles: Battles) -> StyleControl:
    """Fit strengths and style jointly, over the models given; one alone will do.

    The official figure depends on which models' files lie in the folder, and so does `official` here: all loaded models share the
    coefficients, and the style it is read at is the mean of their battles. The score proper is read at no difference in style; of the
    other models it takes only what they say about the coefficients. A feature that never varies is left out: its worth cannot be told
    from strength. Raises UserError without battles.
    """
    if not len(battles.results):
        raise UserError("there is no game to control for style", cure="give games that can be read")
    mean = battles.weights @ battles.style / battles.weights.sum()
    spread = np.sqrt(battles.weights @ (battles.style - mean) ** 2 / battles.weights.sum())
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > _NO_SPREAD)
    names, model = np.unique(battles.models, return_inverse=True)
    strengths = np.eye(len(names))
    fit = _fit(np.hstack([strengths[model], (battles.style - mean) * scale]), battles)
    scores = {
        str(name): _score(fit, battles.questions, index, np.append(strengths[index], -mean * scale)) for index, name in enumerate(names)
    }
    return StyleControl(scores, dict(zip(FEATURES, map(float, fit.weights[len(names) :]), strict=True)))


@dataclass(frozen=True)
class _Fit:
    """The optimum (K,) for a `design` (N, K): one column a model, then FEATURES; the Hessian (K, K) there, and what is unexplained (N,)."""

    design: Array
    weights: Array
    hessian: Array
    residuals: Array


def _fit(design: Array, battles: Battles) -> _Fit:
    """Minimise sum_i s_i (softplus(x_i w) - y_i x_i w) + RIDGE |w|^2 / 2 by Newton's method; rows x_i of `design` (N, K)."""

    def objective(weights: Array) -> float:
        logits = design @ weights
        return float(battles.weights @ (np.logaddexp(0, logits) - battles.results * logits) + RIDGE / 2 * weights @ weights)

    def slopes(weights: Array) -> tuple[Array, Array]:
        chances = _chance(design @ weights)
        hessian = design.T @ (design * (battles.weights * chances * (1 - chances))[:, None]) + RIDGE * np.eye(len(weights))
        return battles.weights * (battles.results - chances), hessian

    weights = np.zeros(design.shape[1])
    for _ in range(100):
        residuals, hessian = slopes(weights)
        step = np.linalg.solve(hessian, residuals @ design - RIDGE * weights)
        smallest = 1e-10 * (1 + np.abs(weights).max())
        while np.abs(step).max() > smallest and objective(weights + step) > objective(weights):
            step = step / 2
        weights = weights + step
        if np.abs(step).max() <= smallest:
            break
    residuals, hessian = slopes(weights)
    return _Fit(design, weights, hessian, residuals)


def _score(fit: _Fit, questions: NDArray[np.str_], model: int, point: Array) -> ControlledScore:
    """The score of one model, read at `point` (K,), with the sandwich error clustered by question.

    The error is widened by what the fit spends on the model: its strength and the features that vary.
    """
    logit, at_mean = float(point @ fit.weights), float(fit.weights[model])
    score, official = (100 * float(_chance(np.array(value))) for value in (logit, at_mean))
    names, of_question = np.unique(questions, return_inverse=True)
    own = fit.design[:, model] > 0
    count, spent = len(np.unique(of_question[own])), 1 + int(fit.design[:, -len(FEATURES) :].any(axis=0).sum())
    unexplained = np.bincount(of_question[own], fit.residuals[own])
    if count <= spent or np.abs(unexplained).max() < _EXPLAINED:
        return ControlledScore(score, math.nan, 0.0, 100.0, official, {})
    through_weights = fit.design @ np.linalg.solve(fit.hessian, point) * fit.residuals
    by_question = np.bincount(of_question, through_weights) * math.sqrt(count / (count - spent))
    error, slope = float(np.sqrt(by_question @ by_question)), score * (1 - score / 100)
    half = student_quantile(count - spent, 0.95) * error
    low, high = (100 * float(_chance(np.array(bound))) for bound in (logit - half, logit + half))
    influence = dict(zip(map(str, names), map(float, slope * by_question), strict=True))
    return ControlledScore(score, slope * error, low, high, official, influence)


def _chance(logits: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float64)

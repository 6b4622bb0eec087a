"""Rows of official files as the benchmarks' own tools write them, and anybody's outputs read whatever their format."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.benchmarks.files import read_rows, read_text
from evals.benchmarks.score import BenchmarkScore
from evals.errors import DataFormatError, UserError
from evals.prompts import Message

Row = Mapping[str, Any]

# The official columns, by their names in a score's details.
LEADERBOARD_COLUMNS = {
    "win_rate": "win_rate",
    "standard_error": "win_rate_standard_error",
    "n_wins": "n_wins",
    "n_wins_base": "n_wins_base",
    "n_draws": "n_draws",
    "n_total": "n_total",
    "discrete_win_rate": "discrete_win_rate",
    "mode": "mode",
    "avg_length": "avg_length",
    "length_controlled_winrate": "length_controlled_winrate",
    "lc_standard_error": "lc_standard_error",
}
_MODE = "community"
_UNRATED = -1
_BETWEEN_ROWS = re.compile(r"[\s,\[]*")
_CURE = (
    "give AlpacaEval's model_outputs.json, a model_answer file of Arena-Hard or MT-Bench, or rows with `instruction` (`prompt`, `id`) "
    "and `output` (`response`)"
)


@dataclass(frozen=True)
class Completion:
    """What the annotator said of one pair: the log-probabilities of its first token, what they cost, and who was asked when."""

    logprobs: Mapping[str, float]
    price: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    version: str | None = None
    date: str | None = None


@dataclass(frozen=True)
class PairGame:
    """One game of a pair: the winning seat, "A" or "B", or "tie"; None where the judgment cannot be read."""

    winner: str | None
    user_prompt: str
    judgment: str


@dataclass(frozen=True)
class Outputs:
    """One model's answers, turn by turn, by the prompt's id or its text.

    `unfinished` are the prompts with an answer that was cut off, by the limit of tokens or the context; None where that is not known.
    """

    model: str
    answers: Mapping[str, tuple[str, ...]]
    unfinished: frozenset[str] | None = None


def annotation(
    row: Row, generators: tuple[str, str], output: str, preference: float | None, annotator: str, completion: Completion | None = None
) -> dict[str, Any]:
    """A row of annotations.json, with the keys that alpaca_eval 0.6 writes.

    `row` is the baseline's (instruction, dataset, output), `generators` names the baseline and the candidate, `output` is the candidate's.
    """
    told = completion or Completion({})
    return {
        "instruction": row["instruction"],
        "output_1": row["output"],
        "generator_1": generators[0],
        "dataset": row.get("dataset"),
        "output_2": output,
        "generator_2": generators[1],
        "annotator": annotator,
        "preference": None if preference is None or math.isnan(preference) else preference,
        "preference_price_per_example": told.price,
        "preference_time_per_example": told.seconds,
        "preference_version": told.version,
        "preference_date": told.date,
        "preference_raw_completion": _chat_choice(told),
    }


def _chat_choice(completion: Completion) -> dict[str, Any] | None:
    """A chat endpoint's choice of one token, the likeliest; alpaca_eval's `logprob_parser` reads the preference from it."""
    told = {token: logprob for token, logprob in completion.logprobs.items() if math.isfinite(logprob)}
    if not told:
        return None
    ranked = sorted(told.items(), key=lambda item: (-item[1], item[0]))
    tokens = [{"token": token, "bytes": list(token.encode()), "logprob": logprob} for token, logprob in ranked]
    return {
        "finish_reason": "length",
        "index": 0,
        "logprobs": {"content": [{**tokens[0], "top_logprobs": tokens}]},
        "message": {"content": ranked[0][0], "role": "assistant"},
        "text": ranked[0][0],
        "total_tokens": completion.tokens,
    }


def leaderboard_row(score: BenchmarkScore) -> dict[str, Any]:
    """The official columns; what is no number is empty. `lc_standard_error` is this project's, about twice the package's.

    Raises UserError for another benchmark.
    """
    if not set(LEADERBOARD_COLUMNS.values()) - {"mode"} <= score.details.keys():
        raise UserError(f"{score.benchmark} has no place on AlpacaEval's leaderboard", score.model, "give scores of annotations")
    details = {"mode": _MODE, **score.details}
    cells = {column: details[name] for column, name in LEADERBOARD_COLUMNS.items()}
    return {column: "" if isinstance(cell, float) and math.isnan(cell) else cell for column, cell in cells.items()}


def arena_answer(uid: str, model: str, prompt: str, text: str, metadata: Row | None = None, tstamp: float = 0.0) -> dict[str, Any]:
    """A row of Arena-Hard's model_answer/<model>.jsonl, as of 2025."""
    messages = [Message("user", prompt).as_dict(), {"role": "assistant", "content": {"answer": text}}]
    row = {"uid": uid, "ans_id": _identifier(model, uid, text), "model": model, "messages": messages, "tstamp": tstamp}
    return row if metadata is None else {**row, "metadata": dict(metadata)}


def arena_game(score: str | None, judgment: str, prompt: Sequence[Message]) -> dict[str, Any]:
    """One game: the label that was read, the judge's text and what it was sent."""
    return {"score": score, "judgment": {"answer": judgment}, "prompt": [message.as_dict() for message in prompt]}


def arena_judgment(of: Mapping[str, str], games: Sequence[Row | None]) -> dict[str, Any]:
    """A row of Arena-Hard's model_judgment/<judge>/<model>.jsonl, `of` whom and what; the candidate is B, then A. None: no reply."""
    return {key: of[key] for key in ("uid", "category", "judge", "model", "baseline")} | {"games": list(games)}


def mt_answer(question_id: int | str, model: str, turns: Sequence[str], tstamp: float = 0.0) -> dict[str, Any]:
    """A row of MT-Bench's model_answer/<model>.jsonl."""
    question = _number(question_id)
    return {
        "question_id": question,
        "answer_id": _identifier(model, question, *turns),
        "model_id": model,
        "choices": [{"index": 0, "turns": list(turns)}],
        "tstamp": tstamp,
    }


def mt_single(
    of: tuple[int | str, int], model: str, judge: tuple[str, str], told: tuple[str, str], score: float | None, tstamp: float = 0.0
) -> dict[str, Any]:
    """A row of MT-Bench's model_judgment/<judge>_single.jsonl.

    `of` is question and turn, `judge` its name and that of its prompt, `told` its user prompt and what it said. No score is -1.
    """
    return {
        "question_id": _number(of[0]),
        "model": model,
        "judge": list(judge),
        "user_prompt": told[0],
        "judgment": told[1],
        "score": _UNRATED if score is None else score,
        "turn": of[1],
        "tstamp": tstamp,
    }


def mt_pair(
    of: tuple[int | str, int], models: tuple[str, str], judge: tuple[str, str], games: Sequence[PairGame], tstamp: float = 0.0
) -> dict[str, Any]:
    """A row of MT-Bench's model_judgment/<judge>_pair.jsonl: the first of the models is A in the first game and B in the second."""
    seats = ({"A": "model_1", "B": "model_2"}, {"A": "model_2", "B": "model_1"})
    winners = [names.get(game.winner or "error", game.winner or "error") for names, game in zip(seats, games, strict=True)]
    return {
        "question_id": _number(of[0]),
        "model_1": models[0],
        "model_2": models[1],
        "g1_winner": winners[0],
        "g2_winner": winners[1],
        "judge": list(judge),
        "g1_user_prompt": games[0].user_prompt,
        "g1_judgment": games[0].judgment,
        "g2_user_prompt": games[1].user_prompt,
        "g2_judgment": games[1].judgment,
        "turn": of[1],
        "tstamp": tstamp,
    }


def _number(question_id: int | str) -> int | str:
    """MT-Bench counts its questions."""
    return int(question_id) if isinstance(question_id, str) and question_id.isdecimal() else question_id


def _identifier(*parts: int | str) -> str:
    """Of the length of the official ones, and the same in every run."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:22]


def read_outputs(path: str | Path) -> Outputs:
    """One model's answers from a file of AlpacaEval, Arena-Hard (of 2024 or 2025) or MT-Bench, or from plain rows; told by the content.

    A plain row is known by its `instruction` or `prompt`, and without one by its `id`; a model without a name has the file's. Raises
    DataFormatError with file and line for a row that is no answer, for several models and for two answers to one prompt.
    """
    file = Path(path)
    rows = read_rows(file)
    models: dict[str, None] = {}
    answers: dict[str, tuple[str, ...]] = {}
    first: dict[str, int] = {}
    twice: tuple[int, int] | None = None
    for number, row in enumerate(rows):
        model, key, turns = _answer(row, file, number)
        if model is not None:
            models[str(model)] = None
        twice = twice or ((first[key], number) if key in answers else None)
        first.setdefault(key, number)
        answers[key] = turns
    if len(models) > 1:
        names = ", ".join(models)
        raise DataFormatError(f"the file holds {len(models)} models: {names}", str(file), "write one file for each model")
    if twice is not None:
        lines = " and ".join(str(_line(file, number)) for number in twice)
        raise DataFormatError(f"one prompt is answered twice, on lines {lines}", _place(file, twice[1]), "keep one of the answers")
    return Outputs(next(iter(models), Path(file.name.removesuffix(".gz")).stem), answers)


def _answer(row: Row, file: Path, number: int) -> tuple[Any, str, tuple[str, ...]]:
    """Model, prompt and turns of a row."""
    try:
        model, key, turns = _parts(row)
    except (KeyError, IndexError, TypeError, AttributeError):
        model, key, turns = None, None, []
    if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
        raise DataFormatError("this row does not say which prompt it answers", _place(file, number), _CURE)
    if not turns or not all(isinstance(turn, str) for turn in turns):
        raise DataFormatError("this row holds no answer, or one that is not text", _place(file, number), _CURE)
    return model, str(key), tuple(turns)


def _parts(row: Row) -> tuple[Any, Any, list[Any]]:
    if "choices" in row:
        told = row["choices"][0]["turns"]
        return row.get("model_id"), row["question_id"], [turn["content"] if isinstance(turn, dict) else turn for turn in told]
    if "messages" in row:
        told = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        return row.get("model"), row.get("uid", row.get("id")), [turn["answer"] if isinstance(turn, dict) else turn for turn in told]
    model = row.get("generator", row.get("model", row.get("model_id")))
    named = [row[name] for name in ("instruction", "prompt", "id") if isinstance(row.get(name), str | int)]
    return model, named[0], [row.get("output", row.get("response"))]


def _place(file: Path, number: int) -> str:
    return f"{file}:{_line(file, number)}"


def _line(file: Path, number: int) -> int:
    """The line, counted from 1, on which a row begins: of a JSON list as of JSON lines."""
    text = read_text(file)
    decoder = json.JSONDecoder()
    position = _after(text, 0)
    for _ in range(number):
        position = _after(text, decoder.raw_decode(text, position)[1])
    return text.count("\n", 0, position) + 1


def _after(text: str, position: int) -> int:
    """Where the next row of a list or of lines begins."""
    gap = _BETWEEN_ROWS.match(text, position)
    return position if gap is None else gap.end()

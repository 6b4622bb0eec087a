"""Published leaderboards, and the place that scores of one's own take on them."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evals.benchmarks import alpaca_eval2, arena_hard, mt_bench
from evals.benchmarks.files import DATA_VARIABLE, benchmark_file, read_csv, read_rows, read_text
from evals.benchmarks.score import BenchmarkScore
from evals.benchmarks.sources import ALPACA_EVAL2, ARENA_HARD_V0_1, ARENA_HARD_V2_0, MT_BENCH
from evals.errors import DataFormatError, UserError

_LENGTH_CONTROLLED, _SCORE, _STYLE_CONTROLLED, _AVERAGE = "length_controlled_winrate", "score", "style-controlled score", "average"
_HEADLINES = {"alpaca_eval2": _LENGTH_CONTROLLED, "arena_hard": _SCORE, "mt_bench": _AVERAGE}
_WANTS = {_STYLE_CONTROLLED: ", for which the answers must lie in model_answer beside model_judgment, the baseline's there or in the data"}
# AlpacaEval 2's official annotator, and the model behind it.
_ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"
_SAME_JUDGE = {"gpt-4-1106-preview": _ANNOTATOR}
# Verdicts on each prompt, where it is not one: games with both seats, and turns.
_VERDICTS = {"arena_hard": 2, "mt_bench": 2}
# How an OpenAI-compatible endpoint's model is named in our files.
_ENDPOINT = "openai "
_ANEW = "move the file away, and run `daa eval fetch`"


@dataclass(frozen=True)
class PublishedRow:
    """A model's published score, and what it is: the judge, the figure's own name (`headline`) and the file it stands in (`source`).

    `baseline` is whom it was judged against, where the benchmark has one, and `prompts` how many it rests on, as far as that is known.

    `low` and `high` are the published bounds: 95 % on Arena-Hard v0.1 and 90 % on v2.0, both from resampling games, which makes them too
    narrow. `standard_error` is the published one, of AlpacaEval 2 half the true one or less. `length` is in the board's unit.
    """

    model: str
    score: float
    judge: str
    headline: str
    source: str
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    length: float | None = None
    baseline: str = ""
    prompts: int | None = None


@dataclass(frozen=True)
class Placed:
    """A row of a leaderboard with `ours` among it. Equal scores share the better rank.

    `rank` counts the published models, and those of ours that may be compared with them, whose score is higher. `best_rank` and
    `worst_rank` are what it would be at the ends of our 95 % interval. `note` says why a score of ours may not be compared,
    and of how many prompts it is where not of all.
    """

    rank: int
    model: str
    score: float
    judge: str
    ours: bool
    low: float | None = None
    high: float | None = None
    length: float | None = None
    best_rank: int | None = None
    worst_rank: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Board:
    """A leaderboard: its title, the name and scale of its scores, the unit of its lengths, and what reads it for a judge."""

    title: str
    scores: str
    length_unit: str
    read: Callable[[str], list[PublishedRow]]


def published(board: str, judge: str = "") -> list[PublishedRow]:
    """The published rows of one of BOARDS, by `judge` where it has a table, or else by the official one.

    Raises UserError for no board, and DataFormatError for a file that cannot be read or that is not there, with what to place where.
    """
    if board not in BOARDS:
        raise UserError(f"there is no leaderboard {board!r}", cure=f"choose {', '.join(BOARDS)}")
    rows = BOARDS[board].read(judge)
    if not rows:
        raise DataFormatError(f"the leaderboard of {board} has no rows", board, _ANEW)
    return rows


def board_of(score: BenchmarkScore) -> str:
    """The leaderboard that a score belongs on. Raises UserError where none is published."""
    category = str(score.details.get("category", ""))
    boards = {"arena-hard-v0.1": ARENA_HARD_V0_1, "hard_prompt": ARENA_HARD_V2_0}
    board = boards.get(category, "") if score.benchmark == "arena_hard" else score.benchmark
    if board not in BOARDS:
        what = f"no leaderboard is published for {' '.join(filter(None, (score.benchmark, category)))}"
        raise UserError(what, score.model, f"there are those of {', '.join(BOARDS)}; that of Arena-Hard v2.0 is of its hard prompts")
    return board


def by_board(scores: Sequence[BenchmarkScore]) -> tuple[dict[str, list[BenchmarkScore]], list[str]]:
    """The scores by their leaderboard, and what is said of those that have none. Raises UserError where no score has one."""
    found: dict[str, list[BenchmarkScore]] = {}
    left_out: list[UserError] = []
    for score in scores:
        try:
            found.setdefault(board_of(score), []).append(score)
        except UserError as error:
            left_out.append(error)
    if left_out and not found:
        raise left_out[0]
    return found, [f"{error.where}: {error.what}" for error in left_out]


def place(scores: Sequence[BenchmarkScore], rows: Sequence[PublishedRow]) -> list[Placed]:
    """The published rows of a leaderboard with our scores among them, the best first; of equal ones, ours come last.

    Where the published scores are style-controlled, ours are too if their details have that figure.
    """
    figures = [_figure(score, rows) for score in scores]
    obstacles = [_obstacles(score, figure, rows) for score, figure in zip(scores, figures, strict=True)]
    compared = [row.score for row in rows] + [figure.score for figure, found in zip(figures, obstacles, strict=True) if not found]
    theirs = [Placed(_rank(row.score, compared), row.model, row.score, row.judge, False, row.low, row.high, row.length) for row in rows]
    ours = []
    for score, figure, found in zip(scores, figures, obstacles, strict=True):
        others = list(compared)
        if not found:
            others.remove(figure.score)
        best, worst, note = _rank(figure.high, others), _rank(figure.low, others), _note(score, found, rows)
        spanned = Placed(_rank(figure.score, others), score.model, figure.score, score.judge, True, figure.low, figure.high)
        ours.append(replace(spanned, length=score.details.get("avg_length"), best_rank=best, worst_rank=worst, note=note))
    return sorted([*theirs, *ours], key=lambda row: -row.score)


@dataclass(frozen=True)
class _Figure:
    """What a score of ours is, as the leaderboards call it, with its 95 % interval."""

    headline: str
    score: float
    low: float
    high: float


def _figure(score: BenchmarkScore, rows: Sequence[PublishedRow]) -> _Figure:
    details = score.details
    if rows and rows[0].headline == _STYLE_CONTROLLED and "style_controlled" in details:
        low, high = details["style_controlled_low"], details["style_controlled_high"]
        return _Figure(_STYLE_CONTROLLED, details["style_controlled"], low, high)
    return _Figure(_HEADLINES.get(score.benchmark, _SCORE), score.score, score.low, score.high)


def _obstacles(score: BenchmarkScore, figure: _Figure, rows: Sequence[PublishedRow]) -> list[str]:
    """Why a score may not be compared with the published ones; nothing where it may."""
    reasons = []
    if rows and rows[0].baseline and score.baseline != rows[0].baseline:
        reasons.append(f"judged against {score.baseline or 'a baseline without a name'}, the published ones against {rows[0].baseline}")
    if rows and _official(score.judge) != _official(rows[0].judge):
        reasons.append(f"judged by {score.judge or 'a judge without a name'}, the published ones by {rows[0].judge}")
    if rows and figure.headline != rows[0].headline:
        reasons.append(f"it is the {figure.headline}, the published figure the {rows[0].headline}{_WANTS.get(rows[0].headline, '')}")
    return reasons


def _note(score: BenchmarkScore, obstacles: Sequence[str], rows: Sequence[PublishedRow]) -> str:
    """What one must know of a score beside the published ones."""
    told = [f"not comparable: {'; '.join(obstacles)}"] if obstacles else []
    asked = math.ceil((score.judged + score.unreadable) / _VERDICTS.get(score.benchmark, 1))
    whole = rows[0].prompts if rows else None
    if whole is not None and asked < whole:
        told.append(f"{asked} of {whole} prompts were judged")
    return "; ".join(told)


def _official(judge: str) -> str:
    """A judge by its published name: files of ours say by which kind of model it was asked, too."""
    model = judge.removeprefix(_ENDPOINT)
    return _SAME_JUDGE.get(model, model)


def _rank(value: float, others: Sequence[float]) -> int:
    return 1 + sum(other > value for other in others)


def _alpaca_eval2(judge: str) -> list[PublishedRow]:
    file = _first("alpaca_eval2/leaderboard.csv", "alpaca_eval2/public/leaderboard_rows.csv")
    rows = []
    for number, row in enumerate(read_csv(file), 2):
        # The official file has no name for the column of models, which is its first.
        model, where = next(iter(row.values())), f"{file}:{number}"
        score, length = _number(row, _LENGTH_CONTROLLED, where), _number(row, "avg_length", where)
        error = _number(row, "lc_standard_error", where) if row.get("lc_standard_error") else None
        found = PublishedRow(model, score, _ANNOTATOR, _LENGTH_CONTROLLED, str(file), standard_error=error, length=length)
        rows.append(replace(found, baseline=alpaca_eval2.BASELINE, prompts=alpaca_eval2.PROMPTS))
    return rows


def _arena_hard_v0_1(judge: str) -> list[PublishedRow]:
    file = _first("arena_hard/leaderboard_v0.1_20240731.csv")
    rows = []
    for number, row in enumerate(read_csv(file), 2):
        score, low, high, length = (
            _number(row, column, f"{file}:{number}") for column in ("score", "rating_q025", "rating_q975", "avg_tokens")
        )
        model = _cell(row, "model", f"{file}:{number}")
        found = PublishedRow(model, score, "gpt-4-1106-preview", _SCORE, str(file), low, high, length=length)
        rows.append(replace(found, baseline=arena_hard.BASELINES["arena-hard-v0.1"], prompts=arena_hard.QUESTIONS))
    return rows


_TABLE = re.compile(r"^Hard Prompt, Style Control, and (\S+) as Judge.*$\n```console\n.*\n((?:[^`].*\n)+)```$", re.MULTILINE)
_LINE = re.compile(r"\d+ +(?P<model>\S+) +(?P<score>[\d.]+) +\(-(?P<below>[\d.]+) / \+(?P<above>[\d.]+)\)")


def _arena_hard_v2_0(judge: str) -> list[PublishedRow]:
    """The tables of the repository's README, of which the first is the official configuration."""
    file = _first("arena_hard/README.md", "arena_hard/leaderboard_v2.0_readme.md")
    tables = {name.lower(): lines.splitlines() for name, lines in _TABLE.findall(read_text(file))}
    if not tables:
        raise DataFormatError("the file has no table of style-controlled scores", str(file), _ANEW)
    asked = judge.removeprefix(_ENDPOINT).lower()
    chosen = asked if asked in tables else next(iter(tables))
    rows = []
    for line in tables[chosen]:
        found = _LINE.fullmatch(line.strip())
        if not found:
            raise DataFormatError(f"this line of a leaderboard cannot be read: {line.strip()!r}", str(file), _ANEW)
        score, below, above = (float(found[key]) for key in ("score", "below", "above"))
        row = PublishedRow(found["model"], score, chosen, _STYLE_CONTROLLED, str(file), score - below, score + above)
        rows.append(replace(row, baseline=arena_hard.BASELINES["hard_prompt"], prompts=arena_hard.QUESTIONS))
    return rows


def _mt_bench(judge: str) -> list[PublishedRow]:
    """A table of averages, or else the averages of published judgments."""
    try:
        file = _first("mt_bench/scores.csv", "mt_bench/gpt-4_single.jsonl")
    except DataFormatError as error:
        from_hub = "https://huggingface.co/spaces/lmsys/mt-bench/resolve/main/data/mt_bench/model_judgment/gpt-4_single.jsonl"
        cure = f"place there mt_bench/scores.csv (columns model and average), or mt_bench/gpt-4_single.jsonl from {from_hub}"
        raise DataFormatError(error.what, error.where, cure) from error
    if file.name == "scores.csv":
        rows = [(row, f"{file}:{number}") for number, row in enumerate(read_csv(file), 2)]
        found = [
            PublishedRow(_cell(row, "model", where), _number(row, _AVERAGE, where), "gpt-4", _AVERAGE, str(file)) for row, where in rows
        ]
    else:
        found = [
            PublishedRow(score.model, score.score, score.judge, _AVERAGE, str(file), score.low, score.high, score.standard_error)
            for score in mt_bench.score_judgments(read_rows(file))
        ]
    return [replace(row, prompts=mt_bench.QUESTIONS) for row in found]


BOARDS: Mapping[str, Board] = {
    ALPACA_EVAL2: Board("AlpacaEval 2", "length-controlled win rate, %", "characters", _alpaca_eval2),
    ARENA_HARD_V0_1: Board("Arena-Hard v0.1", "score, %", "tokens", _arena_hard_v0_1),
    ARENA_HARD_V2_0: Board("Arena-Hard v2.0, hard prompts", "style-controlled score, %", "", _arena_hard_v2_0),
    MT_BENCH: Board("MT-Bench", "average, 1–10", "", _mt_bench),
}


def _first(*names: str) -> Path:
    """The first of some benchmark files that is there. Raises DataFormatError with the cure where none is."""
    missing = []
    for name in names:
        try:
            return benchmark_file(name)
        except DataFormatError as error:
            missing.append(error)
    cure = f"run `daa eval fetch DIR` and set {DATA_VARIABLE}=DIR, or place {names[0]} below the folder that it names"
    raise DataFormatError(missing[0].what, missing[0].where, cure) from missing[0]


def _cell(row: Mapping[str, str], column: str, where: str) -> str:
    if not row.get(column):
        raise DataFormatError(f"the column `{column}` is missing or empty", where, _ANEW)
    return row[column]


def _number(row: Mapping[str, str], column: str, where: str) -> float:
    try:
        return float(_cell(row, column, where))
    except ValueError as error:
        raise DataFormatError(f"the column `{column}` has no number: {row[column]!r}", where, _ANEW) from error

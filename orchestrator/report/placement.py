"""The place that scores take on a published leaderboard, as a table for the screen."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table

from evals.benchmarks.leaderboards import Board, Placed


def placement_table(board: Board, rows: Sequence[Placed]) -> RenderableType:
    """A leaderboard with ours marked by an asterisk, our ranks with those that our interval spans, and what may not be compared."""
    columns: list[Column | str] = [
        Column("rank", no_wrap=True),
        Column("model", overflow="fold"),
        Column(f"{board.scores} (interval)", justify="right", overflow="fold"),
    ]
    has_lengths = any(row.length is not None for row in rows)
    if has_lengths:
        columns.append(Column(f"length, {board.length_unit}", justify="right", overflow="fold"))
    table = Table(*columns, Column("judge", overflow="fold"), title=escape(board.title))
    for row in rows:
        name = f"* {row.model}" if row.ours else row.model
        length = [_length(row)] if has_lengths else []
        table.add_row(_rank(row), escape(name), _score(row), *length, escape(row.judge), style="bold" if row.ours else None)
    legend = "* ours: the ranks in brackets are those that its 95 % interval spans. Published intervals are as published."
    notes = [f"* {row.model}: {row.note}" for row in rows if row.note]
    return Group(table, *(escape(line) for line in [legend, *notes]))


def _rank(row: Placed) -> str:
    return f"{row.rank} ({row.best_rank}–{row.worst_rank})" if row.best_rank is not None else str(row.rank)


def _score(row: Placed) -> str:
    bounds = f" ({row.low:.2f}–{row.high:.2f})" if row.low is not None and row.high is not None else ""
    return f"{row.score:.2f}{bounds}"


def _length(row: Placed) -> str:
    return "" if row.length is None else f"{row.length:.0f}"

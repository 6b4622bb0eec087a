"""Recomputed benchmark scores as a table, for the screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table


def scores_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Recomputed benchmark scores: score with its 95 % interval, and the verdicts behind it."""
    wide = [Column(name, overflow="fold") for name in ("model", "judge")]
    several = len({row["file"] for row in rows}) > 1
    table = Table(*wide, Column("score (95 %)", no_wrap=True), "error", "judged", "unreadable", *(["file"] if several else []))
    for row in rows:
        score = f"{row['score']:.2f} ({row['low']:.2f}–{row['high']:.2f})"
        name = " ".join(filter(None, (row["model"], row.get("category"))))
        rest = (str(row["judged"]), str(row["unreadable"]), *([escape(row["file"])] if several else []))
        table.add_row(escape(name), escape(row["judge"]), score, f"{row['standard_error']:.2f}", *rest)
    return table


def comparisons_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Paired comparisons: the difference with its 95 % interval, how surely, and the smallest one that could be shown."""
    several = len({row.get("judge") for row in rows}) > 1
    judge = [Column("judge", overflow="fold")] if several else []
    table = Table("benchmark", "model", "against", *judge, Column("difference (95 %)", no_wrap=True), "p", "detectable", "prompts")
    for row in rows:
        difference = f"{row['difference']:+.2f} ({row['low']:+.2f}–{row['high']:+.2f})"
        name = " ".join(filter(None, (row["benchmark"], row["category"])))
        rest = (f"{row['p']:.3g}", f"{row['detectable']:.2f}", str(row["prompts"]))
        by = [escape(row["judge"])] if several else []
        table.add_row(name, escape(row["model"]), escape(row["against"]), *by, difference, *rest)
    return table

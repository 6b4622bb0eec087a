"""Recomputed benchmark scores as a table, for the screen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table

from orchestrator.report import words

Row = Mapping[str, Any]


def scores_table(rows: Sequence[Row]) -> RenderableType:
    """Benchmark scores with their 95 % intervals, the verdicts behind them, and the other figures that their benchmarks are read by."""
    several = len({row["file"] for row in rows}) > 1
    more = {name: tell for name, tell in _MORE.items() if any(tell(row) for row in rows)}
    more |= {"file": lambda row: row["file"]} if several else {}
    folded = [Column(name, overflow="fold") for name in more]
    wide = [Column(name, overflow="fold") for name in ("benchmark", "model", "judge")]
    table = Table(*wide, Column("score (95 %)", no_wrap=True), "error", "judged", "unreadable", *folded)
    for row in rows:
        figures = (
            _interval(row["score"], row["low"], row["high"]),
            f"{row['standard_error']:.2f}",
            str(row["judged"]),
            str(row["unreadable"]),
        )
        table.add_row(*map(escape, (_benchmark(row), row["model"], row["judge"], *figures, *(tell(row) for tell in more.values()))))
    return table


def _benchmark(row: Row) -> str:
    """The benchmark with the category, and what its score is, where that is not the plain one."""
    return " ".join(filter(None, (row["benchmark"], row.get("category"), "(LC win rate)" if _is_length_controlled(row) else "")))


def _is_length_controlled(row: Row) -> bool:
    return "length_controlled_winrate" in row


def _interval(score: float, low: float, high: float) -> str:
    return f"{score:.2f} ({low:.2f}–{high:.2f})"


def _style_controlled(row: Row) -> str:
    if "style_controlled" not in row:
        return ""
    return _interval(row["style_controlled"], row["style_controlled_low"], row["style_controlled_high"])


def _length(row: Row) -> str:
    return words.length(row.get("avg_length", row.get("mean_length")), row.get("unfinished"))


_MORE: Mapping[str, Callable[[Row], str]] = {
    "win rate": lambda row: f"{row['win_rate']:.2f}" if _is_length_controlled(row) else "",
    "style-controlled (95 %)": _style_controlled,
    "length": _length,
}


def comparisons_table(rows: Sequence[Row]) -> RenderableType:
    """Paired comparisons: the difference with its 95 % interval, how surely, and the smallest one that could be shown."""
    several = len({row.get("judge") for row in rows}) > 1
    judge = [Column("judge", overflow="fold")] if several else []
    table = Table("benchmark", "model", "against", *judge, Column("difference (95 %)", no_wrap=True), "p", "detectable", "prompts")
    for row in rows:
        difference = f"{row['difference']:+.2f} ({row['low']:+.2f}–{row['high']:+.2f})"
        name = " ".join(filter(None, (row["benchmark"], row["category"])))
        p = f"{row['p']:.3g}" if row["p"] >= words.SMALLEST_P else f"<{words.SMALLEST_P}"
        rest = (p, f"{row['detectable']:.2f}", str(row["prompts"]))
        by = [escape(row["judge"])] if several else []
        table.add_row(name, escape(row["model"]), escape(row["against"]), *by, difference, *rest)
    return table

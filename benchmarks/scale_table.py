"""What `scale.py` shows: the figures of a search's control, one column for each search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

NO, EACH, SHARED = "no fsync", "fsync each", "fsync shared"
PARTS = ("decide", "board", "meter", "ledger", "scorecard")


@dataclass(frozen=True)
class Row:
    """One search: seconds of the control and how often each part was called, against the search's virtual seconds.

    `waits` are those for the disk. The last five are seconds over the final ledger; `peak_mb` is that of the process so far.
    """

    trials: int
    fsync: str
    search_s: float
    control_s: float
    seconds: dict[str, float]
    calls: dict[str, int]
    waits: int
    verdicts: int
    ledger_mb: float
    peak_mb: float
    read_s: float
    rebuild_s: float
    leaderboard_s: float
    answer_s: float
    curves_s: float


def table(rows: Sequence[Row]) -> Table:
    """One column for each search."""
    shown = Table("trials", *(f"{row.trials:,}, {row.fsync}" for row in rows))

    def add(name: str, form: str, of: Callable[[Row], float]) -> None:
        shown.add_row(name, *(format(of(row), form) for row in rows))

    add("search, virtual hours", ",.1f", lambda row: row.search_s / 3600)
    add("control, seconds", ",.2f", lambda row: row.control_s)
    add("control, % of the search", ".4f", lambda row: 100 * row.control_s / row.search_s)
    add("verdicts", ",", lambda row: row.verdicts)
    for part in PARTS:
        add(f"{part}: calls", ",", lambda row, part=part: row.calls[part])
        add(f"{part}: calls per second", ",.0f", lambda row, part=part: row.calls[part] / row.seconds[part])
    add("ledger: waits for the disk", ",", lambda row: row.waits)
    add("ledger, MB", ",.1f", lambda row: row.ledger_mb)
    add("ledger, MB per second", ",.1f", lambda row: row.ledger_mb / row.seconds["ledger"])
    add("ledger read, s", ".3f", lambda row: row.read_s)
    add("board rebuilt, s", ".3f", lambda row: row.rebuild_s)
    add("leaderboard, s", ".3f", lambda row: row.leaderboard_s)
    add("answer, s", ".3f", lambda row: row.answer_s)
    add("curves of the report, s", ".3f", lambda row: row.curves_s)
    add("peak memory, MB", ",.0f", lambda row: row.peak_mb)
    return shown

"""All trials, ranked."""

from collections.abc import Sequence
from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.leaderboard import BASE, Row

# More rows make a page that no browser scrolls well; all of them are in leaderboard.json.
MOST_ROWS = 2_000
_ROOM = 5.0


def board(run: Run) -> dict[str, Any]:
    """The leaderboard's rows with their place; `left_out` counts those beyond MOST_ROWS, intervals are drawn from `low` to `high`."""
    rows = run.rows[:MOST_ROWS]
    told = [{**row.as_dict(), "place": place, "is_best": row.trial == run.best} for place, row in enumerate(rows, 1)]
    low, high = _span([row for row in rows if row.win_rate is not None])
    return {
        "rows": told,
        "left_out": len(run.rows) - len(rows),
        "trials": sum(row.trial != BASE for row in run.rows),
        "scored": len(run.scored),
        "low": low,
        "high": high,
    }


def _span(rows: Sequence[Row]) -> tuple[float, float]:
    """What intervals are drawn on: all of the best ones, and 50; a few that are far below are cut off."""
    rates = sorted(row.win_rate or 0.0 for row in rows)
    highest = max((row.high or 0.0 for row in rows if row.win_rate == rates[-1]), default=50.0)
    lowest = rates[len(rates) // 20] - _ROOM if rates else 50.0
    return min(50.0, lowest) - 1, max(50.0, highest) + 1

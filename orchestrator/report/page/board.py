"""All trials, ranked."""

from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.leaderboard import BASE

# More rows make a page that no browser scrolls well; all of them are in leaderboard.json.
MOST_ROWS = 2_000


def board(run: Run) -> dict[str, Any]:
    """The leaderboard's rows, with their place; `left_out` counts those beyond MOST_ROWS; `low` and `high` span all intervals drawn."""
    rows = run.rows[:MOST_ROWS]
    told = [{**row.as_dict(), "place": place, "is_best": row.trial == run.best} for place, row in enumerate(rows, 1)]
    bounds = [bound for row in rows for bound in (row.low, row.high) if bound is not None]
    return {
        "rows": told,
        "left_out": len(run.rows) - len(rows),
        "trials": sum(row.trial != BASE for row in run.rows),
        "scored": len(run.scored),
        "low": min([50.0, *bounds]) - 1,
        "high": max([50.0, *bounds]) + 1,
    }

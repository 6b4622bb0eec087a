"""Whether win rates are bought with length."""

from dataclasses import asdict
from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.ladder import rank_correlation
from orchestrator.search.leaderboard import BASE

# The judged trials are enough to see a trend, and the correlation's time grows with their square.
MOST_POINTS = 2_000


def lengths(run: Run) -> dict[str, Any] | None:
    """Mean length in characters and win rate of each scored trial and of the base model, and how the two rank trials alike."""
    known = [row for row in run.scored if row.mean_length is not None][:MOST_POINTS]
    if not known:
        return None
    base = next((row for row in run.rows if row.trial == BASE and row.mean_length is not None), None)
    shown = [*known, base] if base else known
    names = ("trial", "method", "win_rate", "low", "high", "mean_length")
    found = rank_correlation([row.mean_length or 0.0 for row in known], [row.win_rate or 0.0 for row in known])
    return {"points": [{name: getattr(row, name) for name in names} for row in shown], "rank_correlation": asdict(found)}

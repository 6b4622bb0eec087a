"""What was spent and saved, on what, and what is still to come."""

from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Any

from orchestrator.estimates.checking import checked
from orchestrator.report.page.run import Run
from orchestrator.search.budget import Meter
from orchestrator.search.phase import trials_planned
from orchestrator.search.projection import projected

_MOST_POINTS = 200
UNITS = {"gpu_hours": "GPU-hours", "hours": "hours", "judgments": "judgments", "cost": "paid to the judge"}


def spending(run: Run) -> dict[str, Any] | None:
    """Spent, expected, foreseen, saved and the budget's bounds; by method; and over time. None before the search began."""
    if not run.events.of("begin"):
        return None
    now = run.events[-1]["time"]
    found = projected(run.events, trials_planned(run.settings), now)
    return {
        "spent": found.spent.as_dict(),
        "expected": found.expected.as_dict() if found.expected else None,
        "budget": {name: run.setting("budget", name) for name in UNITS},
        "foreseen": [{**asdict(each), "held": each.held} for each in checked(run.events)],
        "saved": run.answer["saved"] if run.answer else None,
        "methods": _by_method(run),
        "over_time": _over_time(run),
    }


def _by_method(run: Run) -> list[dict[str, Any]]:
    """Each method's trials and their time under way."""
    trials, seconds = Counter(row.method for row in run.rows if row.trial != "base"), defaultdict(float)
    for row in run.rows:
        seconds[row.method] += row.seconds or 0.0
    return [{"method": method, "trials": count, "minutes": seconds[method] / 60} for method, count in trials.most_common()]


def _over_time(run: Run) -> list[dict[str, Any]]:
    """Hours since the beginning, and what had been spent by then, at so many moments."""
    meter, found = Meter(), []
    marks = max(1, len(run.events) // _MOST_POINTS)
    for number, event in enumerate(run.events):
        meter.add(event)
        if number % marks == 0 or number == len(run.events) - 1:
            found.append(meter.spent(event["time"]).as_dict())
    return found

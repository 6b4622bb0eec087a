"""What more trials buy, of each method and so far."""

from collections import defaultdict
from statistics import fmean
from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.clock import HOUR
from orchestrator.search.goal import asked

_MOST_POINTS = 400


def effort(run: Run) -> dict[str, Any] | None:
    """The best win rate to expect of so many trials of each method, with its trials' mean minutes; and the best so far by the hour."""
    if run.answer is None:
        return None
    seconds: dict[str, list[float]] = defaultdict(list)
    for row in run.scored:
        if row.seconds is not None:
            seconds[row.method].append(row.seconds)
    methods = [
        {"method": method, "expected_best": thinned(best), "minutes_per_trial": fmean(seconds[method]) / 60 if seconds[method] else None}
        for method, best in run.answer["expected_best"].items()
    ]
    return {"methods": methods, "so_far": _so_far(run)}


def thinned(values: list[float]) -> list[list[float]]:
    """(trials, value) of so many trials, all of the first ones and ever fewer of the others."""
    count, places, place = len(values), [], 1
    while place <= count:
        places.append(place)
        place = max(place + 1, int(place * 1.1))
    return [[place, values[place - 1]] for place in dict.fromkeys([*places, count])]


def _so_far(run: Run) -> list[list[float]]:
    """(hours, win rate) whenever another checkpoint came to lead: of those judged on the most prompts, the best."""
    found: list[list[float]] = []
    lead, began = (0, 0.0), next((event["time"] for event in run.events.of("begin")), 0.0)
    for event in run.events.of("score"):
        rank = (asked(event), event["scorecard"]["win_rate"])
        if rank > lead:
            lead = rank
            found.append([(event["time"] - began) / HOUR, rank[1]])
    return found[-_MOST_POINTS:]

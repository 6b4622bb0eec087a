"""Win rates by step, and where the race let trials go."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.goal import asked
from orchestrator.search.leaderboard import latest_scores
from orchestrator.search.ledger import Event

# More lines in one chart cannot be told apart.
MOST_CURVES = 30


def learning(run: Run) -> dict[str, Any] | None:
    """The curves of the best trials, each point with its interval, and what became of trials at each rung; None while nothing is scored."""
    if not run.scored:
        return None
    shown, latest = run.shown(MOST_CURVES), latest_scores(run.events)
    curves = [{"trial": row.trial, "method": row.method, "points": _points(latest.get(row.trial, {}))} for row in shown]
    return {"curves": curves, "drawn": len(shown), "scored": len(run.scored), "best": run.best, "rungs": _rungs(run, latest)}


def _points(by_step: Mapping[int, Event]) -> list[dict[str, Any]]:
    return [
        {"step": step, "prompts": asked(event), **{name: event["scorecard"][name] for name in ("win_rate", "low", "high")}}
        for step, event in sorted(by_step.items())
    ]


def _rungs(run: Run, latest: Mapping[str, Mapping[int, Event]]) -> list[dict[str, Any]]:
    """How many trials were scored at each rung, and how many left there and why; none where there was no race of rungs."""
    begun = run.events.last("begin")
    left: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for end in run.events.of("end"):
        if "checkpoint_number" in end:
            left[end["checkpoint_number"], end["prompts"]][end["reason"].partition(":")[0]] += 1
    scored: Counter[tuple[int, int]] = Counter()
    laid = [(rung["checkpoint"], rung["prompts"]) for rung in begun["rungs"]] if begun else []
    for by_step in latest.values():
        for number, step in enumerate(sorted(by_step), 1):
            scored.update((checkpoint, prompts) for checkpoint, prompts in laid if checkpoint == number and asked(by_step[step]) >= prompts)
    return [
        {"checkpoint": checkpoint, "prompts": prompts, "scored": scored[checkpoint, prompts], "left": dict(left[checkpoint, prompts])}
        for checkpoint, prompts in laid
    ]

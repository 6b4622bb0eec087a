"""What training did to the likelihood of the chosen and the rejected responses."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.run_files import RunFiles
from orchestrator.training.records import read_records

# Each trial's own file is read, so only those of the first.
MOST_TRIALS, MOST_POINTS = 12, 120
FIGURES = ("chosen_logp", "rejected_logp", "margin", "accuracy", "drift")


def displacement(run: Run) -> list[dict[str, Any]] | None:
    """Each shown trial's training: figures by step, and the change of both log-probabilities (nats, summed over a response's tokens)."""
    if run.directory is None:
        return None
    found = []
    for row in run.shown(MOST_TRIALS):
        steps = _steps(RunFiles(run.directory).trial(row.trial))
        if steps:
            found.append({"trial": row.trial, "method": row.method, **_changes(steps), "series": _series(steps)})
    return found or None


def _steps(directory: Path) -> Sequence[Mapping[str, Any]]:
    """A run's steps; none where they are not kept, or are damaged: the report is made without them."""
    try:
        return read_records(directory)
    except (OSError, ValueError):
        return ()


def _changes(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the last steps, less those over the first: a tenth of the run each, 50 steps at most.

    Each step has pairs of its own, longer or shorter: a change counts as displacement beyond two standard errors of that.
    """
    count = min(max(1, len(steps) // 10), 50)
    first, last = steps[:count], steps[-count:]
    change = {f"{side}_change": _difference(last, first, f"{side}_logp") for side in ("chosen", "rejected")}
    lost, luck = change["chosen_change"], _step_to_step([step["chosen_logp"] for step in steps if step.get("chosen_logp") is not None])
    displaced = lost is not None and lost < -2 * luck * math.sqrt(2 / count)
    ends = {name: _mean(last, name) for name in ("margin", "accuracy", "drift")}
    held_out = next((step["validation_accuracy"] for step in reversed(steps) if "validation_accuracy" in step), None)
    return {
        **change,
        "displaced": displaced,
        **ends,
        "held_out_accuracy": held_out,
        "health": steps[-1].get("health", ""),
        "steps": steps[-1]["step"],
    }


def _step_to_step(values: Sequence[float]) -> float:
    """The standard deviation of single steps around a trend, from how neighbours differ."""
    jumps = [after - before for before, after in pairwise(values)]
    return stdev(jumps) / math.sqrt(2) if len(jumps) > 1 else 0.0


def _difference(last: Sequence[Mapping[str, Any]], first: Sequence[Mapping[str, Any]], name: str) -> float | None:
    after, before = _mean(last, name), _mean(first, name)
    return None if after is None or before is None else after - before


def _mean(steps: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [step[name] for step in steps if step.get(name) is not None]
    return fmean(known) if known else None


def _series(steps: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Means over neighbouring steps, so that there are MOST_POINTS at most."""
    size = -(-len(steps) // MOST_POINTS)
    parts = [steps[start : start + size] for start in range(0, len(steps), size)]
    return {"step": [part[-1]["step"] for part in parts], **{name: [_mean(part, name) for part in parts] for name in FIGURES}}

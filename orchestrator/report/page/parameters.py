"""Each method's trials over its hyperparameters."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.leaderboard import Row

# Below so few trials there is nothing to see, above so many no line to follow.
FEWEST, MOST_LINES = 2, 400
# Values that span more are drawn on a logarithmic axis.
_WIDE = 20


def parameters(run: Run) -> list[dict[str, Any]] | None:
    """One set of parallel coordinates for each method: its axes, and a line for each of its best trials; None where no method has two."""
    by_method: dict[str, list[Row]] = defaultdict(list)
    for row in run.scored:
        by_method[row.method].append(row)
    found = [_coordinates(method, rows) for method, rows in by_method.items() if len(rows) >= FEWEST]
    return [each for each in found if each["axes"]] or None


def _coordinates(method: str, rows: Sequence[Row]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row.hyperparameters)
    values = {name: [row.hyperparameters.get(name) for row in rows] for name in names}
    varied = {name: known for name, known in values.items() if len(set(map(str, known))) > 1}
    axes = [{"name": name, "is_log": _is_wide(known), **_categories(known)} for name, known in varied.items()]
    lines = [
        {"trial": row.trial, "win_rate": row.win_rate, "values": [row.hyperparameters.get(axis["name"]) for axis in axes]}
        for row in rows[:MOST_LINES]
    ]
    return {"method": method, "trials": len(rows), "axes": axes, "lines": lines}


def _is_wide(values: Sequence[Any]) -> bool:
    return all(_is_number(value) and value > 0 for value in values) and max(values) > _WIDE * min(values)


def _categories(values: Sequence[Any]) -> dict[str, Any]:
    """The names on an axis that has no numbers."""
    known = [value for value in values if value is not None]
    return {} if all(map(_is_number, known)) else {"categories": sorted(set(map(str, known)))}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""How far a search has come, from its ledger alone, while it runs or after."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.search.board import Board
from orchestrator.search.budget import Meter, Spent
from orchestrator.search.goal import Goal
from orchestrator.search.leaderboard import Row, leaderboard, winner
from orchestrator.search.ledger import Event, read_ledger, within_finals


@dataclass(frozen=True)
class Progress:
    """`trials` counts them by where they stand, of `wanted`; `last` is the time of the last event in seconds since 1970.

    `wanted` and `last` are None where they are not known, and `best` before anything is scored.
    """

    name: str
    directory: str
    wanted: int | None
    trials: dict[str, int]
    in_finals: bool
    best: Row | None
    spent: Spent
    last: float | None

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        best = self.best.as_dict() if self.best is not None else None
        return {**vars(self), "best": best, "spent": self.spent.as_dict()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Progress":
        """The inverse of `as_dict`."""
        best = Row(**values["best"]) if values["best"] is not None else None
        return Progress(**{**values, "best": best, "spent": Spent(**values["spent"])})


def progress_in(directory: Path) -> Progress:
    """The progress of the search that writes to a directory. Raises UserError when none does."""
    ledger = directory / "ledger.jsonl"
    if not ledger.is_file():
        raise UserError("there is no search: no ledger.jsonl", str(directory), "give the directory of a search, or the name of a job")
    settings = _settings(directory / "settings.json")
    wanted = settings.get("search", {}).get("trials")
    return progress(read_ledger(ledger), settings.get("name", directory.name), str(directory), wanted)


def progress(events: Sequence[Event], name: str, directory: str, wanted: int | None) -> Progress:
    """The same of a ledger's events."""
    records = Board.rebuilt(events, max_attempts=1).records.values()
    last = events[-1]["time"] if events else None
    return Progress(
        name=name,
        directory=directory,
        wanted=wanted,
        trials=dict(Counter(str(record.status) for record in records if record.until is None)),
        in_finals=within_finals(events),
        best=winner(leaderboard(events, Goal())),
        spent=Meter(events).spent(last or 0.0),
        last=last,
    )


def _settings(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

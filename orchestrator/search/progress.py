"""How far a search has come, from its ledger alone, while it runs or after."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board
from orchestrator.search.budget import Meter, Spent
from orchestrator.search.kept import kept_settings
from orchestrator.search.leaderboard import Row, leaderboard, winner
from orchestrator.search.ledger import Events, read_ledger
from orchestrator.search.phase import FINISHED, phase_of, trials_planned
from orchestrator.search.verdict import answer


@dataclass(frozen=True)
class Progress:
    """`trials` counts them by where they stand, of `wanted`; `last` is the time of the last event in seconds since 1970.

    `wanted` and `last` are None where they are not known, `best` before anything is scored, and `winner` before the finals are over.
    """

    name: str
    directory: str
    wanted: int | None
    trials: dict[str, int]
    phase: str
    best: Row | None
    winner: dict[str, Any] | None
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
    ledger = RunFiles(directory).ledger
    if not ledger.is_file():
        raise UserError("there is no search: no ledger.jsonl", str(directory), "give the directory of a search, or the name of a job")
    return progress(read_ledger(ledger), str(directory), {"name": directory.name, **kept_settings(directory)})


def progress(events: Events, directory: str, settings: Mapping[str, Any]) -> Progress:
    """The same of a ledger's events."""
    phase = phase_of(events, settings)
    found = answer(events) if phase == FINISHED else None
    records = Board.rebuilt(events, max_attempts=1).records.values()
    last = events[-1]["time"] if events else None
    return Progress(
        name=settings["name"],
        directory=directory,
        wanted=trials_planned(settings),
        trials=dict(Counter(str(record.status) for record in records if record.until is None) - Counter(stopped=events.gave_way)),
        phase=phase,
        best=winner(leaderboard(events)),
        winner=vars(found.best) if found is not None and found.is_fresh else None,
        spent=Meter(events).spent(last or 0.0),
        last=last,
    )

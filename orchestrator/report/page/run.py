"""A search as the report sees it: its ledger, and what lies beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.report.telling import answer_ready
from orchestrator.run_files import RunFiles
from orchestrator.search.kept import kept_settings, setting
from orchestrator.search.leaderboard import BASE, Row, leaderboard
from orchestrator.search.ledger import Event, Events, read_ledger


@dataclass(frozen=True)
class Run:
    """`answer` is what answer.json holds; `settings` the resolved ones, empty where they are not known; `directory` that of the search."""

    title: str
    events: Events
    rows: Sequence[Row]
    answer: Mapping[str, Any] | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    directory: Path | None = None

    @staticmethod
    def read(directory: Path) -> "Run":
        """What a search has written so far. Raises UserError where there is none."""
        if not RunFiles(directory).ledger.is_file():
            raise UserError("there is no search to report on: no ledger.jsonl", str(directory), "give the directory of a search")
        events = read_ledger(RunFiles(directory).ledger)
        rows = leaderboard(events)
        return Run(directory.resolve().name, events, rows, answer_ready(events, rows), kept_settings(directory), directory)

    @cached_property
    def scored(self) -> list[Row]:
        """The trials that have a score, the first of the leaderboard first."""
        return [row for row in self.rows if row.trial != BASE and row.win_rate is not None]

    @property
    def finalists(self) -> list[Mapping[str, Any]]:
        """The best first; none while nothing is scored."""
        return list(self.answer["finalists"]) if self.answer else []

    @property
    def best(self) -> str | None:
        """The trial that the answer names."""
        return self.finalists[0]["trial"] if self.finalists else None

    def score_of(self, trial: str) -> Event | None:
        """The verdicts of the search that the leaderboard shows a trial by; None before there are any."""
        return self.events.score_at(trial, next((row.step for row in self.scored if row.trial == trial), None))

    def shown(self, count: int) -> list[Row]:
        """The first `count` scored trials of the leaderboard, and the finalists where they are not among them."""
        named = {each["trial"] for each in self.finalists}
        return [*self.scored[:count], *(row for row in self.scored[count:] if row.trial in named)]

    def setting(self, *path: str) -> Any:
        """A setting by its place; None where it is not known."""
        return setting(self.settings, *path)

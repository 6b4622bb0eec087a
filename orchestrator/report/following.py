"""What a terminal shows below the story while a search runs: the best trials, what is under way, what was spent and what is expected."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evals.json_lines import lines_since
from orchestrator.report import words
from orchestrator.run_files import RunFiles
from orchestrator.search.leaderboard import BASE, Row, leaderboard
from orchestrator.search.ledger import Events
from orchestrator.search.projection import Projection, projected

_SHOWN = 5
# At most so much of the time goes into looking, however long the ledger is.
_REST = 20.0


class Tail:
    """The events of a ledger that grows, each read once; their verdicts are not kept."""

    def __init__(self, file: Path) -> None:
        self._file, self._read = file, 0
        self.events = Events()

    def grown(self) -> bool:
        """Read what has come since; a line that is still being written is left for the next time."""
        if not self._file.is_file():
            return False
        lines, self._read = lines_since(self._file, self._read)
        for line in lines:
            event = json.loads(line)
            event.pop("verdicts", None)
            self.events.add(event)
        return bool(lines)


@dataclass(frozen=True)
class Glance:
    """The leaderboard and the search's progress at a moment."""

    rows: list[Row]
    progress: Projection

    @property
    def in_words(self) -> list[str]:
        """Where trials are, what was spent, what is expected."""
        return [self._trials(), words.spending(self.progress)]

    def shown(self) -> RenderableType:
        """As a terminal shows it: few lines, so that the story stays in sight."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for heading in ("", "trial", "win rate % (95 %)", "prompts", "step", "status", "hyperparameters"):
            table.add_column(heading, no_wrap=True, overflow="ellipsis")
        best = [row for row in self.rows if row.trial != BASE and row.win_rate is not None][:_SHOWN]
        for place, row in enumerate(best, 1):
            told = (
                row.trial,
                words.win_rate(row),
                row.judged + row.unreadable,
                row.step,
                row.status,
                words.hyperparameters(row.hyperparameters),
            )
            table.add_row(str(place), *(Text(str(each)) for each in told), style="bold" if place == 1 else "")
        return Group(Text(), *([table] if best else []), *(Text(line, style="dim") for line in self.in_words))

    def _trials(self) -> str:
        if self.progress.in_finals:
            scores = self.progress.final_scores
            return f"finals: {scores} run{'s' if scores != 1 else ''} scored"
        of = "" if self.progress.planned is None else f" of {self.progress.planned}"
        under_way = Counter(row.status for row in self.rows if row.status in {"training", "waiting", "paused", "trained"})
        parts = [f"{self.progress.over}{of} trials over", *(f"{count} {status}" for status, count in under_way.items())]
        return ", ".join(parts)


class Follower:
    """Looks at a search's ledger when asked, but not more often than its length allows."""

    def __init__(self, directory: Path, planned: int, clock: Callable[[], float] = time.time) -> None:
        self._tail, self._planned, self._clock = Tail(RunFiles(directory).ledger), planned, clock
        self._rows: list[Row] = []
        self._rests_until = 0.0

    def glance(self) -> Glance:
        """The state of the search now; of its last readable moment where the ledger cannot be read."""
        began = time.monotonic()
        if began >= self._rests_until:
            try:
                if self._tail.grown():
                    self._rows = leaderboard(self._tail.events)
            except (OSError, ValueError):
                pass
            self._rests_until = time.monotonic() + _REST * (time.monotonic() - began)
        return Glance(self._rows, projected(self._tail.events, self._planned, self._clock()))

    def __rich__(self) -> RenderableType:
        return self.glance().shown()

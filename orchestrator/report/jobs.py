"""Jobs of a cluster and the progress of a search, as the terminal shows them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from orchestrator.figures import HOURS
from orchestrator.report import words
from orchestrator.search.clock import HOUR
from orchestrator.search.progress import Progress

# What Ray calls the states in which a job will not run on.
_OVER = {"STOPPED", "SUCCEEDED", "FAILED"}
_MINUTE = 60.0


@dataclass(frozen=True)
class Job:
    """A job as its server knows it. `exit_code` is None while it runs and where its command was never started or was stopped.

    Times are seconds since 1970. `ray_job` is its name in Ray once its driver has joined the cluster.
    """

    name: str
    status: str
    kind: str
    directory: str
    command: str
    message: str
    started: float | None
    ended: float | None
    exit_code: int | None
    ray_job: str | None

    @property
    def is_over(self) -> bool:
        """True when it will not run on."""
        return self.status in _OVER

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def jobs_table(jobs: Sequence[Job]) -> Table:
    """One row for each job."""
    table = Table(title="Jobs" if jobs else "No job of ours on this cluster", title_justify="left")
    for heading in ("job", "kind", "state", "exit code", "began", "took", "directory"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        began = datetime.fromtimestamp(job.started).strftime("%Y-%m-%d %H:%M") if job.started else ""
        took = duration((job.ended or time.time()) - job.started) if job.started else ""
        code = "" if job.exit_code is None else str(job.exit_code)
        table.add_row(job.name, job.kind, job.status.lower(), code, began, took, job.directory)
    return table


def progress_told(found: Progress) -> Iterator[str]:
    """The progress of a search, in lines."""
    joined = sum(found.trials.values())
    by_state = ", ".join(f"{count} {state}" for state, count in sorted(found.trials.items()))
    of = "" if found.wanted is None else f" of {found.wanted}"
    yield f"{found.name} in {found.directory}: {joined}{of} trials" + (f" ({by_state})" if by_state else "")
    yield found.phase
    if (first := found.winner) is not None:
        number = f"{words.with_interval(first)} on {first['prompts']} held-out prompts"
        yield f"winner: {first['trial']}, win rate {number}, {words.hyperparameters(first['hyperparameters'])}"
    elif found.best is None:
        yield "best so far: nothing is scored yet"
    else:
        best = found.best
        number = f"win rate {words.win_rate(best)} on {best.judged + best.unreadable} prompts"
        yield f"best so far: {best.trial}, {number}, {words.hyperparameters(best.hyperparameters)}"
    yield words.economy(found.spent, None)
    if found.last is not None:
        yield f"the last event was {duration(max(0.0, time.time() - found.last))} ago"


def duration(seconds: float) -> str:
    """Seconds in words of one size."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} minutes" if seconds < HOURS * HOUR else f"{seconds / HOUR:.1f} hours"

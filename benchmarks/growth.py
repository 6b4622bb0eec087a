"""What a long search leaves behind in its control's process: memory, open files, tasks and files, by thousands of trials.

`python benchmarks/growth.py --trials 10000` runs the simulated search of `scale.py`, an hour in a second, and writes its ledger as the hub
does, through an event loop. The board keeps what is known of each trial, its verdicts included, so that memory grows with these and with
nothing else: `bytes_per_verdict` is what the second half of the search added for each verdict.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from held import Held
from rich.console import Console
from rich.table import Table
from scale import CHECKPOINTS, NO, Search, disk
from scale import Ledger as BatchedLedger
from scale_world import Cluster, World

from orchestrator.cluster.hub.journal import Background, Bell, soon
from orchestrator.search.board import Status
from orchestrator.search.budget import Meter
from orchestrator.search.ledger import LedgerWriter, SharedWriter
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import rungs

CLUSTER = Cluster(gangs=112, engines=104, train_s=1200.0)


class Watched(Search):
    """A search that tells what its process holds whenever so many more trials are over."""

    def __init__(self, *made: Any, every: int) -> None:
        super().__init__(*made)
        self._every, self._over, self._verdicts = every, 0, 0
        self.seen: list[tuple[int, int, Held]] = []

    def _end(self, trial: str, status: Status, reason: str = "", **compared: str) -> None:
        is_new = not self._is_over(trial)
        super()._end(trial, status, reason, **compared)
        if is_new:
            self._over += 1
            self._verdicts += sum(len(event["verdicts"]) for event in self._board.records[trial].history)
            if self._over % self._every == 0:
                self.seen.append((self._over, self._verdicts, Held.now()))


def searched(trials: int, prompts: int, directory: Path) -> dict[str, float]:
    """Growth of the second half of a search."""
    plan = SearchPlan(rungs(CHECKPOINTS, prompts), 60_000, 1000)
    ledger = BatchedLedger(LedgerWriter(directory / "ledger.jsonl"), 1)
    with disk(NO):
        search = Watched(World(prompts, seed=0), CLUSTER, plan, trials, ledger, every=max(1, trials // 10))
        search.run()
    (half, verdicts, middle), (over, all_of_them, end) = search.seen[len(search.seen) // 2 - 1], search.seen[-1]
    grown = 1e6 * (end.memory_mb - middle.memory_mb)
    return {
        "trials": over,
        "verdicts_kept": all_of_them,
        "memory_mb": end.memory_mb,
        "kilobytes_per_trial": grown / (over - half) / 1e3,
        "bytes_per_verdict": grown / max(1, all_of_them - verdicts),
        "open_files_growth": end.files - middle.files,
        "files": len(os.listdir(directory)),
    }


async def written(events: int, together: int, directory: Path) -> dict[str, float]:
    """Growth of the hub's way to its ledger: events of many coroutines at once, each with news that somebody waits for."""
    writer, meter, bell, background = LedgerWriter(directory / "journal.jsonl"), Meter(), Bell(), Background()

    async def write(lines: list[bytes], after: int | None) -> int:
        return writer.append_lines(lines, after)

    ledger = SharedWriter(write)

    async def one(number: int) -> None:
        meter.add({"event": "attempt", "time": float(number), "trial": f"trial-{number % together}"})
        await ledger.append("attempt", trial=f"trial-{number % together}")
        background.begin(bell.ring())
        await soon(asyncio.sleep(0))

    seen: list[tuple[Held, int]] = []
    with disk(NO):
        for begin in range(0, events, together):
            await asyncio.gather(*(one(number) for number in range(begin, begin + together)))
            if begin >= len(seen) * events / 2:
                seen.append((Held.now(), len(asyncio.all_tasks())))
    (middle, tasks), end = seen[-1], Held.now()
    grown = {"journal_growth_mb": end.memory_mb - middle.memory_mb, "journal_open_files_growth": end.files - middle.files}
    return {"journal_events": events, **grown, "journal_tasks_growth": len(asyncio.all_tasks()) - tasks}


def measure(trials: int, prompts: int, events: int) -> dict[str, float]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        journal = asyncio.run(written(events, 200, Path(folder)))
        (Path(folder) / "journal.jsonl").unlink()
        return searched(trials, prompts, Path(folder)) | journal


def main(
    trials: Annotated[int, typer.Option(help="Trials of the search.", min=10)] = 10_000,
    prompts: Annotated[int, typer.Option(help="Prompts of the last checkpoint.", min=25)] = 805,
    events: Annotated[int, typer.Option(help="Events that are written through an event loop.", min=400)] = 200_000,
) -> None:
    shown = Table("", "")
    for name, value in measure(trials, prompts, events).items():
        shown.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    Console().print(shown)


if __name__ == "__main__":
    typer.run(main)

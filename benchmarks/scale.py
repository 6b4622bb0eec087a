"""What the control of a large search costs: the real scheduler, board, ledger and meter beside simulated GPUs, engines and judge.

`python benchmarks/scale.py`: 10,000 trials of 4 checkpoints on 1,000 GPUs, racing on 805 prompts, as a discrete-event simulation. Workers
take virtual seconds; what the search itself does takes the processor's seconds, so that other work on the machine does not count, and in
the ledger real ones, measured call by call. Left out are Ray's messages between processes, Ray Tune's own loop and searchers, and the files
of answers with their guards.

The ledger is measured in three ways: without waiting for the disk; with an fsync for each event; and as the hub writes under full load,
where the events of different trials that wait at the same moment share an fsync, and a trial's next event waits for its last.
"""

import json
import os
import resource
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar
from unittest.mock import patch

import typer
from rich.console import Console
from scale_table import EACH, NO, SHARED, Row, table
from scale_world import Clock, Cluster, Evaluation, World, training_told

from evals.generation import Decoding
from evals.scorecard import Measurement, score
from orchestrator.cluster.placement import needed
from orchestrator.search.board import Board, Job, Status
from orchestrator.search.budget import Meter, Spent, exhausted, kept_back
from orchestrator.search.curves import curves
from orchestrator.search.leaderboard import leaderboard
from orchestrator.search.ledger import LedgerWriter, line_of, read_ledger
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import Race, Rules, Rung, rungs
from orchestrator.search.verdict import answer
from orchestrator.settings import BudgetSettings, ClusterSettings

CHECKPOINTS = 4
MAX_ATTEMPTS = 3
T = TypeVar("T")
# Each event's own wait is timed on fewer trials: the rate is the disk's.
EACH_TRIALS = 1_000
# Among tens of thousands of small rungs, some have more unreadable verdicts than the usual tenth.
HOW = Measurement("simulated judge", Decoding(0.7, 0.95, 512, 1), "0" * 64, 60.0, max_unreadable=0.5)


class Timed:
    """Seconds and calls, by part of the control: the processor's, and real ones in the ledger."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def __call__(self, part: str, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Do the work and count it."""
        clock = time.perf_counter if part == "ledger" else time.process_time
        began = clock()
        result = work(*arguments, **named)
        self.seconds[part] += clock() - began
        self.calls[part] += 1
        return result


class Ledger:
    """Events of so many trials wait for the disk together."""

    def __init__(self, writer: LedgerWriter, together: int) -> None:
        self._writer, self._together = writer, together
        self._lines: list[bytes] = []
        self._trials: set[str] = set()
        self.waits = 0

    def append(self, event: str, **values: Any) -> None:
        """Take an event, and write what may not wait any longer."""
        trial = values.get("trial", "")
        if trial in self._trials:
            self.write()
        self._lines.append(line_of(event, values))
        self._trials.add(trial)
        if len(self._lines) >= self._together:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        if self._lines:
            self._writer.append_lines(self._lines)
            self._lines.clear()
            self._trials.clear()
            self.waits += 1


class Search:
    """Hub, assessor and scheduler in one process: the same calls and the same events in the same order."""

    def __init__(self, world: World, cluster: Cluster, plan: SearchPlan, trials: int, ledger: Ledger) -> None:
        self._world, self._cluster, self._plan, self._trials, self._ledger = world, cluster, plan, trials, ledger
        self.clock, self.timed = Clock(), Timed()
        self._evaluation = Evaluation(self.clock, cluster)
        self._board, self._meter, self._race = Board(MAX_ATTEMPTS), Meter(), Race(Rules(plan.rungs, trials))
        self._proposed, self._followed = 0, 0
        self._idle, self._responses = deque(f"gang-{number}" for number in range(cluster.gangs)), world.responses()
        self._waiting: dict[str, deque[int]] = defaultdict(deque)

    def run(self) -> None:
        """From the base model to the last trial's end."""
        self._write("begin", **self._plan.as_dict())
        base = self.timed("scorecard", score, self._world.verdicts(0, 1, len(self._responses)), self._responses, HOW)
        self._write("baseline", checkpoint="base", scorecard=base.as_dict(), verdicts={})
        self._propose()
        self.clock.run()
        self.timed("ledger", self._ledger.write)

    def _propose(self) -> None:
        """Tune follows as many trials as gangs and engines can have in hand."""
        while self._followed < self._cluster.gangs + self._cluster.engines and self._proposed < self._trials:
            trial = self._world.trial(self._proposed)
            self._proposed, self._followed = self._proposed + 1, self._followed + 1
            self.timed("board", self._board.submit, trial)
            self._write("trial", trial=trial.id, **trial.as_event())
        self._hand_out()

    def _hand_out(self) -> None:
        while self._idle:
            self.timed("board", self._board.take_back, self._idle[0])
            job = self.timed("board", self._board.next_job, self._idle[0])
            if job is None:
                return
            gang = self._idle.popleft()
            self._write("attempt", trial=job.trial.id, attempt=job.attempt, gang=gang)
            self._train(gang, job, 1)

    def _train(self, gang: str, job: Job, checkpoint: int) -> None:
        seconds = self._world.training_seconds(_number(job.trial.id), checkpoint, self._cluster.train_s)
        self.clock.after(seconds, partial(self._checkpoint, gang, job, checkpoint))

    def _checkpoint(self, gang: str, job: Job, checkpoint: int) -> None:
        trial, step = job.trial.id, 100 * checkpoint
        self.timed("board", self._board.adopt, gang, trial)
        if self.timed("board", self._board.checkpoint, trial, step, _directory(trial, step)):
            self._write("checkpoint", trial=trial, attempt=job.attempt, step=step, checkpoint=_directory(trial, step))
            self._waiting[trial].append(checkpoint)
            if len(self._waiting[trial]) == 1:
                self._assess(trial, checkpoint, 0)
        if checkpoint < CHECKPOINTS and not self._is_over(trial):
            self._train(gang, job, checkpoint + 1)
            return
        self._write("trained", trial=trial, gang=gang)
        self.timed("board", self._board.trained, gang, trial)
        self._complete(trial)
        self._idle.append(gang)
        self._hand_out()

    def _assess(self, trial: str, checkpoint: int, place: int) -> None:
        """A trial's checkpoints are scored one after another, each on its rungs in turn."""
        own = [rung for rung in self._plan.rungs if rung.checkpoint == checkpoint]
        before = own[place - 1].prompts if place else 0
        wanted = own[place].prompts - before
        self.timed("meter", self._exhausted, wanted)
        self._evaluation.score(wanted, partial(self._scored, trial, own, place))

    def _scored(self, trial: str, own: Sequence[Rung], place: int) -> None:
        rung = own[place]
        step = 100 * rung.checkpoint
        verdicts = self._world.verdicts(_number(trial), rung.checkpoint, rung.prompts)
        card = self.timed("scorecard", score, verdicts, self._responses[: rung.prompts], HOW)
        found = {verdict.prompt_id: verdict.candidate_score for verdict in verdicts}
        where = {"trial": trial, "step": step, "checkpoint": f"{_directory(trial, step)}/model", "training": training_told()}
        event = {**where, "whole": rung is own[-1], "scorecard": card.as_dict(), "verdicts": found}
        self._write("score", **event)
        self.timed("board", self._board.scored, event)
        heard = self.timed("board", self._board.records[trial].score_after, step, rung.prompts - 1) or event
        decision = self.timed("decide", self._race.add, trial, rung, list(heard["verdicts"].values()))
        if not decision.goes_on:
            self._end(trial, Status.STOPPED, decision.reason, against=decision.against)
        elif rung is not own[-1]:
            self._assess(trial, rung.checkpoint, place + 1)
        else:
            self._waiting[trial].popleft()
            if self._waiting[trial]:
                self._assess(trial, self._waiting[trial][0], 0)
            self._complete(trial)

    def _complete(self, trial: str) -> None:
        if self.timed("board", self._board.is_complete, trial):
            self._end(trial, Status.COMPLETED)

    def _end(self, trial: str, status: Status, reason: str = "", **compared: str) -> None:
        if self.timed("board", self._board.end, trial, status, reason):
            self._write("end", trial=trial, status=str(status), reason=reason, **compared)
            self.timed("board", self._board.steps_to_keep, trial)
            self._followed -= 1
            self._propose()

    def _is_over(self, trial: str) -> bool:
        return self._board.records[trial].status.is_over

    def _exhausted(self, judgments: int) -> str | None:
        expected = Spent(judgments=judgments).plus(kept_back(self._meter, self._plan.final_runs, self._plan.final_judgments))
        return exhausted(BudgetSettings(), self._meter.spent(self.clock.now + 1).plus(expected))

    def _write(self, event: str, **values: Any) -> None:
        self.timed("meter", self._meter.add, {"event": event, "time": self.clock.now + 1, **values})
        with patch("orchestrator.search.ledger.now", lambda: self.clock.now + 1):
            self.timed("ledger", self._ledger.append, event, **values)


def _number(trial: str) -> int:
    return int(trial.partition("-")[0])


def _directory(trial: str, step: int) -> str:
    return f"runs/search/checkpoints/{trial}/step-{step:06d}"


@contextmanager
def disk(fsync: str) -> Iterator[None]:
    """With or without waiting for the disk."""
    with patch.object(os, "fsync", (lambda _: None) if fsync == NO else os.fsync):
        yield


def measure(world: World, cluster: Cluster, plan: SearchPlan, trials: int, fsync: str, directory: Path) -> Row:
    """One search, and what is made of its ledger."""
    path = directory / f"{trials}-{fsync}.jsonl"
    # What can be on its way at once: a report of every gang and a score of every engine.
    ledger = Ledger(LedgerWriter(path), cluster.gangs + cluster.engines if fsync == SHARED else 1)
    with disk(fsync):
        search = Search(world, cluster, plan, trials, ledger)
        search.run()
    timed, after = search.timed, Timed()
    search_s = search.clock.now
    del search
    events = after("read", read_ledger, path)
    board = after("rebuild", Board.rebuilt, events, MAX_ATTEMPTS)
    assert all(record.status.is_over for record in board.records.values()) and len(board.records) == trials
    rows = after("leaderboard", leaderboard, events)
    after("answer", answer, events)
    after("curves", curves, rows)
    verdicts = Meter(events).spent(0.0).judgments
    mb, peak = path.stat().st_size / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    path.unlink()
    costs = (after.seconds[part] for part in ("read", "rebuild", "leaderboard", "answer", "curves"))
    control = sum(timed.seconds.values())
    waits = 0 if fsync == NO else ledger.waits
    return Row(trials, fsync, search_s, control, dict(timed.seconds), dict(timed.calls), waits, verdicts, mb, peak, *costs)


def main(
    trials: Annotated[int, typer.Option(help="Trials of the largest search; smaller ones show how costs grow.", min=100)] = 10_000,
    gpus: Annotated[int, typer.Option(help="GPUs that there are; what engines leave is trained on, by gangs of 8.", min=9)] = 1_000,
    engines: Annotated[int, typer.Option(help="Engines of one GPU each.", min=1)] = 104,
    prompts: Annotated[int, typer.Option(help="Prompts of the last checkpoint.", min=25)] = 805,
    minutes: Annotated[float, typer.Option(help="Mean training time of one checkpoint.")] = 20.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
) -> None:
    settings = ClusterSettings(workers=8, gangs=(gpus - engines) // 8, engines=engines, gpus_per_worker=1, gpus_per_engine=1)
    plan = SearchPlan(rungs(CHECKPOINTS, prompts), 60_000, needed(settings, settings.gangs)["GPU"])
    assert plan.gpus <= gpus
    cluster, world = Cluster(settings.gangs, engines, 60 * minutes), World(prompts, seed=0)
    sizes = [(size, NO) for size in (100, 1_000, 10_000, 100_000) if size < trials] + [(trials, NO)]
    sizes += [(min(trials, EACH_TRIALS), EACH), (trials, SHARED)]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(world, cluster, plan, size, fsync, Path(folder)) for size, fsync in sizes]
    Console(width=140).print(table(rows))
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)

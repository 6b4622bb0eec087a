"""The finals: the best trials and the best plain DPO, each under several seeds, on prompts that the search never used."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.errors import UnreadableVerdictsError
from orchestrator.cluster.asking import ask, patiently, together
from orchestrator.cluster.engines.evaluation_actors import start_judge
from orchestrator.cluster.judges import within_budget
from orchestrator.cluster.runs.capability_runs import measure_finalists
from orchestrator.report.narration import Narrator
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board, Status
from orchestrator.search.leaderboard import Row
from orchestrator.search.ledger import Events, read_ledger
from orchestrator.search.verdict import finalists
from orchestrator.settings import OpenAISettings, Settings
from orchestrator.settings.search import CONTROL

FINAL_JUDGE = "final-judge"


def start_final_judge(settings: Settings, directory: Path, is_paid: bool) -> list[Any]:
    """The actor of the finals' own judge, if they have one, and it is paid or not.

    One that is paid stands elsewhere and is ready at once: started with the finals, it may be paid what the search has left.
    """
    judge = settings.finals.judge
    if judge is None or isinstance(judge, OpenAISettings) != is_paid:
        return []
    within = within_budget(judge, settings.budget, RunFiles(directory).ledger)
    return [start_judge(FINAL_JUDGE, within, settings.cache, RunFiles(directory).logs)]


def play_finals(settings: Settings, hub: Any, directory: Path, story: Narrator) -> None:
    """Compare the finalists on held-out prompts, and see what they still can, where settings ask for either."""
    events = read_ledger(RunFiles(directory).ledger)
    rows = finalists(events, settings.finals.finalists)
    ask(hub.begin_finals)
    if settings.evaluation.held_out is not None:
        _compare(settings, events, rows, hub, directory, story)
    if settings.finals.capability is not None:
        measure_finalists(settings, rows, hub, directory, story)


def _compare(settings: Settings, events: Events, rows: Sequence[Row], hub: Any, directory: Path, story: Narrator) -> None:
    """Train each finalist under further seeds, to the step at which it was best, and score all of them on the held-out prompts."""
    named = ", ".join(f"{row.trial}{' (the control)' if row.method == CONTROL else ''}" for row in rows)
    story.say(f"finals on held-out prompts: {named}; {settings.finals.seeds} seeds each")
    judge = FINAL_JUDGE if settings.finals.judge is not None else None
    board = Board.rebuilt(events, settings.cluster.max_attempts)
    runs = [run for row in rows for run in _further_runs(settings, board, row, hub)]
    first = [(row.trial, _seed(settings, board, row), row.trial, str(row.checkpoint)) for row in rows]

    free = asyncio.Semaphore(len(rows))

    async def score(run: tuple[str, int, str, str]) -> None:
        async with free:
            scored = await patiently(hub.score_held_out, *run, judge)
        if scored is not None:
            story.finalist_scored(scored)

    async def score_when_trained(run: tuple[str, int, str, str]) -> None:
        if await _end(hub, run[2]) is Status.COMPLETED:
            await score(run)

    together([*map(score, first), *map(score_when_trained, runs)])
    if (reason := ask(hub.spent_out, True)) is not None:
        story.say(f"[yellow]{reason}[/yellow]: the finals end with what is known")
    check_judged(directory)


def check_judged(directory: Path) -> None:
    """Raises UnreadableVerdictsError where the judge could judge none of the runs that it was asked about."""
    events = read_ledger(RunFiles(directory).ledger, "held_out", "unreadable")
    if events.left_out and not events.of("held_out"):
        cure = (
            "use a stronger judge; or raise evaluation.max_unreadable in settings.json, remove the lines `unreadable` of these runs from "
            "ledger.jsonl, and resume: what was replied is remembered"
        )
        raise UnreadableVerdictsError(f"no finalist is judged: {events.left_out[0]['reason']}", str(directory), cure)


def _further_runs(settings: Settings, board: Board, row: Row, hub: Any) -> Sequence[tuple[str, int, str, str]]:
    """Hand a finalist's other seeds to the hub: (finalist, seed, run, model) of each."""
    trial, step = board.records[row.trial].trial, row.step
    assert step is not None and row.checkpoint is not None
    first = _seed(settings, board, row)
    found = []
    for seed in range(first + 1, first + settings.finals.seeds):
        run = replace(trial, id=f"{trial.id}-seed{seed}", training={**trial.training, "seed": seed})
        ask(hub.submit, run, step, trial.id)
        found.append((trial.id, seed, run.id, row.checkpoint.replace(f"/{trial.id}/", f"/{run.id}/")))
    return found


def _seed(settings: Settings, board: Board, row: Row) -> int:
    """The seed under which the search trained a trial."""
    return board.records[row.trial].trial.training_settings(settings.training).seed


async def _end(hub: Any, run: str) -> Status:
    """How a run ends."""
    while not (status := await patiently(hub.wait_for, run)).is_over:
        pass
    return status

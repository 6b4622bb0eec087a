"""What a report of a large search takes: `python benchmarks/reports.py`, 10,000 trials, 40,000 scores, ten million verdicts.

Every trial is scored at four checkpoints on the same prompts, as a search does that stops none. The report is made in a process of its own.
"""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer
from held import peak_mb
from rich.console import Console
from rich.table import Table
from scale_world import World, training_told

from evals.generation import Decoding, Response
from evals.scorecard import Measurement, score
from orchestrator.report.files import write_reports
from orchestrator.search.ledger import line_of
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import rungs

CHECKPOINTS = 4
HOW = Measurement("simulated judge", Decoding(0.7, 0.95, 512, 1), "0" * 64, 60.0, max_unreadable=0.5)


def build(file: Path, trials: int, prompts: int) -> None:
    """The ledger of a search that scored everything."""
    world = World(prompts, seed=0)
    responses = world.responses()
    with file.open("wb") as lines:
        lines.write(line_of("begin", SearchPlan(rungs(CHECKPOINTS, prompts), 60_000, 8).as_dict()))
        lines.write(line_of("baseline", {"checkpoint": "base", **_judged(world, responses, 0, 1)}))
        for number in range(trials):
            trial = world.trial(number)
            own = {"trial": trial.id}
            lines.write(line_of("trial", own | trial.as_event()))
            lines.write(line_of("attempt", own | {"attempt": 1, "gang": "gang-0"}))
            for checkpoint in range(1, CHECKPOINTS + 1):
                where = own | {"step": 100 * checkpoint, "checkpoint": f"checkpoints/{trial.id}/{checkpoint}/model"}
                lines.write(line_of("checkpoint", where | {"attempt": 1}))
                told = {"whole": True, "training": training_told(), **_judged(world, responses, number, checkpoint)}
                lines.write(line_of("score", where | told))
            lines.write(line_of("trained", own | {"gang": "gang-0"}))
            lines.write(line_of("end", own | {"status": "completed", "reason": ""}))


def reported(directory: Path) -> dict[str, float]:
    """Seconds, by the clock and of the processor, and the most memory that the process had."""
    began, busy = time.perf_counter(), time.process_time()
    rows = write_reports(directory)
    took, worked = time.perf_counter() - began, time.process_time() - busy
    return {
        "rows": len(rows),
        "seconds": took,
        "processor_s": worked,
        "peak_mb": peak_mb(),
        "page_mb": (directory / "report.html").stat().st_size / 1e6,
    }


def measure(directory: Path, trials: int, prompts: int) -> dict[str, float]:
    """The figures of one search."""
    build(directory / "ledger.jsonl", trials, prompts)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        figures = process.submit(reported, directory).result()
    verdicts = (CHECKPOINTS * trials + 1) * prompts
    return {"trials": trials, "verdicts": verdicts, "ledger_mb": (directory / "ledger.jsonl").stat().st_size / 1e6, **figures}


def main(
    trials: Annotated[int, typer.Option(help="Trials of the search.", min=2)] = 10_000,
    prompts: Annotated[int, typer.Option(help="Prompts that each of the four checkpoints is scored on.", min=2)] = 250,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), trials, prompts)
    shown = Table("", "")
    for name, value in figures.items():
        shown.add_row(name, f"{value:,.1f}")
    Console().print(shown)


def _judged(world: World, responses: Sequence[Response], number: int, checkpoint: int) -> dict[str, Any]:
    """Scorecard and verdicts of a checkpoint on all prompts."""
    verdicts = world.verdicts(number, checkpoint, len(responses))
    found = {verdict.prompt_id: verdict.candidate_score for verdict in verdicts}
    return {"scorecard": score(verdicts, responses, HOW).as_dict(), "verdicts": found}


if __name__ == "__main__":
    typer.run(main)

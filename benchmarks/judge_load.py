"""200 judge calls at a time for minutes on end: `python benchmarks/judge_load.py --minutes 10`.

The server, in a process of its own, refuses some requests, fails some and never answers some. Told are verdicts a second, what the
client's memory and open files grow by after the first quarter, verdicts that were lost and verdicts that were paid for twice.
"""

import json
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from pathlib import Path
from typing import Annotated, Any

import typer
from held import Held
from judge_server import Faults, serve
from rich.console import Console
from rich.table import Table

from evals.asking import Question, question_key
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.remembering import RememberingModel
from evals.chat_models.reply_file import ReplyFile
from evals.prompts import Message

_ANSWER = "An answer that is compared with another one. " * 20


def question(number: int) -> Question:
    """A judge's question, unlike all others."""
    return Question(f"prompt-{number}", (Message("user", f"{number}: {_ANSWER}"),), labels=("m", "M"))


def load(url: str, file: Path, seconds: float, concurrency: int, at_once: int) -> dict[str, float]:
    """Ask new questions, so many at a time, until the time is over."""
    settings = OpenAIModelSettings("judge", url, max_concurrency=concurrency, timeout_s=5, max_attempts=8, first_wait_s=0.1)
    model = RememberingModel(OpenAIModel(settings), ReplyFile(file))
    began, asked = time.perf_counter(), 0
    early: tuple[float, Held] | None = None
    while (passed := time.perf_counter() - began) < seconds:
        replies = model.ask([question(number) for number in range(asked, asked + at_once)])
        assert all(reply.text == "m" for reply in replies)
        asked += at_once
        if early is None and passed > seconds / 4:
            early = passed, Held.now()
    took, late = time.perf_counter() - began, Held.now()
    # What is remembered is not asked again, by whichever process.
    again = RememberingModel(OpenAIModel(settings), ReplyFile(file))
    again.ask([question(number) for number in range(0, asked, 7)])
    known = ReplyFile(file)
    known.refresh()
    lost = sum(known.get(question_key(model.identity, question(number))) is None for number in range(asked))
    first = early[1] if early else late
    told = {"memory_mb": late.memory_mb, "memory_growth_mb": late.memory_mb - first.memory_mb}
    files = {"open_files": late.files, "open_files_growth": late.files - first.files}
    return {"seconds": took, "verdicts": asked, "verdicts_per_s": asked / took, "lost": lost, "asked_again": again.asked, **told, **files}


@contextmanager
def served(faults: Faults) -> Iterator[str]:
    """The address of a server that runs meanwhile."""
    ours, theirs = Pipe()
    process = get_context("spawn").Process(target=serve, args=(faults, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def measure(minutes: float, concurrency: int, at_once: int, faults: Faults) -> dict[str, Any]:
    """The figures of one load, the client's and the server's."""
    with served(faults) as url, tempfile.TemporaryDirectory() as folder:
        figures = load(f"{url}/v1", Path(folder) / "replies.jsonl", 60 * minutes, concurrency, at_once)
        with urllib.request.urlopen(f"{url}/counted") as counted:
            return {**figures, **json.load(counted)}


def main(
    minutes: Annotated[float, typer.Option(help="How long.")] = 2.0,
    concurrency: Annotated[int, typer.Option(help="Calls at a time.", min=1)] = 200,
    at_once: Annotated[int, typer.Option(help="Questions that are handed to the judge together.", min=1)] = 5_000,
) -> None:
    shown = Table("", "")
    for name, value in measure(minutes, concurrency, at_once, Faults()).items():
        shown.add_row(name, f"{value:,.1f}" if isinstance(value, float) else f"{value:,}")
    Console().print(shown)


if __name__ == "__main__":
    typer.run(main)

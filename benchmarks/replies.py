"""What a judge's memory of so many replies costs: to open, to look up, to add to, and in memory.

`python benchmarks/replies.py --replies 10000000 --dir DIR` needs about 7 GB of disk and some minutes; the files stay in DIR, where another
run finds them. Each figure is of a process of its own, so that memory is that of one user of the file. Nothing empties the machine's cache
of files: figures are those of a file that it holds as far as it can.
"""

import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer
from held import peak_mb
from rich.console import Console
from rich.table import Table

from evals.asking import ChatModel, Question, Reply
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.reply_file import ReplyFile, line_of
from evals.prompts import Message

LOOKUPS = 20_000
_QUESTION = Question("alpaca_eval-0000", (Message("user", "?"),))
_LABELS = {"m": -0.12, "M": -2.31, " m": -4.25, "1": -7.5, "model": -8.875}
# Templates are filled in by bytes: a benchmark should not wait for JSON.
_KEY, _ID = "0" * 64, "alpaca_eval-0000"


def key(number: int) -> str:
    """The key of a reply, as random as that of a real question."""
    return sha256(b"%d" % number).hexdigest()


def judge() -> ChatModel:
    """A judge that is only named."""
    return OpenAIModel(OpenAIModelSettings("judge", "http://localhost/v1"))


def reply(number: int) -> Reply:
    """A verdict with its log-probabilities."""
    return Reply("m", _LABELS, 1200 + number % 100, 1, model="judge-2026")


def build(file: Path, count: int) -> None:
    """Lines as a judge leaves them, so many in all; those that are there stay."""
    templates = [line_of(_KEY, judge(), _QUESTION, reply(number)) for number in range(100)]
    with file.open("ab") as lines:
        there = lines.tell() // len(templates[0])
        lines.writelines(templates[number % 100].replace(_KEY.encode(), key(number).encode()) for number in range(there, count))


def opened(file: Path) -> dict[str, float]:
    """Seconds until the first reply is found, and the most memory that the process had."""
    began = time.perf_counter()
    replies = ReplyFile(file)
    replies.refresh()
    assert replies.get(key(0)) == reply(0)
    return {"seconds": time.perf_counter() - began, "memory_mb": peak_mb()}


def looked_up(file: Path, count: int) -> dict[str, float]:
    """Microseconds of a lookup, for replies that are there and for those that are not."""
    replies = ReplyFile(file)
    replies.refresh()
    chance = random.Random(0)
    found: dict[str, float] = {}
    for name, first in (("hit", 0), ("miss", count)):
        keys = [key(first + chance.randrange(count)) for _ in range(LOOKUPS)]
        took = sorted(_microseconds(replies, each, name == "hit") for each in keys)
        found |= {f"{name}_mean_us": sum(took) / LOOKUPS, f"{name}_median_us": took[LOOKUPS // 2], f"{name}_p99_us": took[-LOOKUPS // 100]}
    return found


def appended(file: Path, count: int) -> dict[str, float]:
    """Microseconds to add a reply, on a copy of the lines' end: a file of its own."""
    own, began = ReplyFile(file.with_name("appended.jsonl")), time.perf_counter()
    for number in range(count):
        own.append(key(number), judge(), _QUESTION, reply(number))
    took = time.perf_counter() - began
    own.file.unlink()
    return {"append_us": 1e6 * took / count}


def measure(file: Path, count: int) -> dict[str, float]:
    """All figures of one file."""
    build(file, count)
    file.with_suffix(".index").unlink(missing_ok=True)
    first, again = _apart(partial(opened, file)), _apart(partial(opened, file))
    return {
        "replies": count,
        "file_mb": file.stat().st_size / 1e6,
        "table_mb": file.with_suffix(".index").stat().st_size / 1e6 if file.with_suffix(".index").exists() else 0.0,
        "first_open_s": first["seconds"],
        "first_open_memory_mb": first["memory_mb"],
        "open_s": again["seconds"],
        "open_memory_mb": again["memory_mb"],
        **_apart(partial(looked_up, file, count)),
        **_apart(partial(appended, file, 10_000)),
    }


def main(
    replies: Annotated[int, typer.Option(help="Replies of the file.", min=1)] = 100_000,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where the file lies and stays.")] = None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = measure((directory or Path(folder)) / f"{replies}.jsonl", replies)
    shown = Table("", "")
    for name, value in figures.items():
        shown.add_row(name, f"{value:,.3g}" if value < 1000 else f"{value:,.0f}")
    Console().print(shown)


def _microseconds(replies: ReplyFile, wanted: str, is_there: bool) -> float:
    began = time.perf_counter()
    found = replies.get(wanted)
    took = time.perf_counter() - began
    assert (found is not None) == is_there
    return 1e6 * took


def _apart(work: Callable[[], Any]) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work).result()


if __name__ == "__main__":
    typer.run(main)

"""A training's own records, told while they are written."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cluster.runs.watching import watched
from orchestrator.report import narration
from orchestrator.report.narration import Narrator, _Stage
from orchestrator.report.progress import Progress
from tests.cluster.test_tracking import scalars


def write(run: Path, steps: Iterable[int], how: str = "a") -> None:
    """The records of some steps, as a trainer writes them."""
    figures = {"loss": 0.5, "accuracy": 0.75, "margin": 0.1234, "gradient_norm": 2.0, "learning_rate": 5e-7}
    run.mkdir(parents=True, exist_ok=True)
    with (run / "metrics.jsonl").open(how) as file:
        for step in steps:
            file.write(json.dumps({"step": step, **figures, "telemetry": {"seconds": 6.0, "tokens_per_second": 12345.6}}) + "\n")


def test_the_last_step_is_told_with_its_figures_and_the_time_that_is_left(tmp_path: Path) -> None:
    progress = Progress(tmp_path, 50, lambda record: None)
    assert progress.in_words() == ""
    write(tmp_path, range(1, 21))
    progress.look()
    assert progress.in_words() == (
        "step 20/50: loss 0.5000, accuracy 75%, margin 0.123, gradient norm 2, learning rate 5e-07, 12,346 tokens/s, 3 minutes left"
    )


def test_each_step_is_heard_once_whatever_a_restarted_worker_writes_again(tmp_path: Path) -> None:
    heard: list[int] = []
    write(tmp_path, [1, 2])
    progress = Progress(tmp_path, 9, lambda record: heard.append(record["step"]))
    write(tmp_path, [3, 4, 5])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6')
    progress.look()
    assert heard == [3, 4, 5]
    write(tmp_path, [1, 2, 3, 4], "w")
    progress.look()
    write(tmp_path, [5, 6])
    progress.look()
    assert heard == [3, 4, 5, 6]


def test_a_terminal_has_a_bar_below_the_story(tmp_path: Path) -> None:
    progress = Progress(tmp_path, 50, lambda record: None)
    console = Console(file=io.StringIO(), width=160)
    console.print(progress)
    write(tmp_path, range(1, 26))
    console.print(progress)
    before, at = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert "workers start" in before
    assert "step 25/50: loss 0.5000" in at and at.startswith("━")


def test_while_a_model_is_trained_its_steps_are_told_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narration, "_TELLS_OF_STEPS_EVERY_S", 0.01)
    screen = io.StringIO()
    monkeypatch.setattr(_Stage, "narrator", Narrator(screen))
    run: Any = SimpleNamespace(directory=tmp_path / "checkpoints" / "001-dpo-abcd", steps=3)
    with watched(run, tmp_path):
        write(run.directory, [1, 2])
        while "step 2/3" not in screen.getvalue():
            pass
        write(run.directory, [3])
    assert screen.getvalue().count("step 2/3") == 1
    told = scalars(tmp_path / "tensorboard" / "001-dpo-abcd")
    assert [step for step, _ in told["loss"]] == [1, 2, 3]
    assert told["rewards/margins"][0][1] == pytest.approx(0.1234)

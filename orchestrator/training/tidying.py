"""Where checkpoints lie, and what becomes of them when they are done with. Who only tidies up needs no torch."""

import shutil
from collections.abc import Collection
from pathlib import Path


def step_directory(directory: Path, step: int) -> Path:
    """Where a run keeps the checkpoint of a step."""
    return directory / f"step-{step:06d}"


def forget_optimizer(checkpoint: Path) -> None:
    """Drop what only resuming needs; the model stays. Optimiser state is most of a checkpoint's size."""
    shutil.rmtree(checkpoint / "engine", ignore_errors=True)


def forget_engines(directory: Path, before: int) -> None:
    """Drop what only resuming needs of a run's checkpoints before a step."""
    for path in directory.glob("step-*"):
        if int(path.name.removeprefix("step-")) < before:
            forget_optimizer(path)


def keep_only(directory: Path, steps: Collection[int]) -> None:
    """Delete a finished run's checkpoints but those of `steps`, and what only resuming needs of these."""
    for partial in directory.glob(".step-*.partial"):
        shutil.rmtree(partial, ignore_errors=True)
    for path in directory.glob("step-*"):
        if int(path.name.removeprefix("step-")) in steps:
            forget_optimizer(path)
        else:
            shutil.rmtree(path, ignore_errors=True)

"""What becomes of checkpoints when they are done with. Who only tidies up needs no torch."""

import shutil
from collections.abc import Collection
from pathlib import Path


def forget_optimizer(checkpoint: Path) -> None:
    """Drop what only resuming needs; the model stays. Optimiser state is most of a checkpoint's size."""
    shutil.rmtree(checkpoint / "engine", ignore_errors=True)


def keep_only(directory: Path, steps: Collection[int]) -> None:
    """Delete a finished run's checkpoints but those of `steps`, and what only resuming needs of these."""
    for partial in directory.glob(".step-*.partial"):
        shutil.rmtree(partial, ignore_errors=True)
    for path in directory.glob("step-*"):
        if int(path.name.removeprefix("step-")) in steps:
            forget_optimizer(path)
        else:
            shutil.rmtree(path, ignore_errors=True)

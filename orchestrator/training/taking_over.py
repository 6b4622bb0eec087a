"""A run that begins where another one stands."""

import os
import shutil
from pathlib import Path

from evals.whole_files import put_in_place
from orchestrator.training.records import FILE, Records


def take_over(checkpoint: Path, directory: Path) -> bool:
    """Have the run in `directory` begin at another run's `checkpoint`, with its records up to there; False when the engine's state is gone.

    Files are linked where the file system allows it, and copied elsewhere: both runs may delete theirs.
    """
    final, partial = directory / checkpoint.name, directory / f".{checkpoint.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(checkpoint, partial, copy_function=_link)
        shutil.copyfile(checkpoint.parent / FILE, directory / FILE)
        os.stat(partial / "engine")
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        return False
    Records(directory, int(checkpoint.name.removeprefix("step-")), is_writer=True)
    shutil.rmtree(final, ignore_errors=True)
    put_in_place(partial, final)
    return True


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

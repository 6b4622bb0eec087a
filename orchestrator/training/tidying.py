"""Where checkpoints lie, whether they are whole, and what becomes of them when they are done with. None of it needs torch."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from evals.whole_files import save_json

_SIZES = "files.json"


def step_directory(directory: Path, step: int) -> Path:
    """Where a run keeps the checkpoint of a step."""
    return directory / f"step-{step:06d}"


def list_files(checkpoint: Path) -> None:
    """Write down which files a checkpoint has, and their sizes in bytes."""
    sizes = {str(file.relative_to(checkpoint)): file.stat().st_size for file in sorted(checkpoint.rglob("*")) if file.is_file()}
    save_json(checkpoint / _SIZES, sizes, indent=None)


def is_whole(checkpoint: Path, part: str = "") -> bool:
    """Whether all files whose names begin with `part` are as long as they were when they were listed; True where none were."""
    try:
        sizes = json.loads((checkpoint / _SIZES).read_text())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items() if name.startswith(part))
    except FileNotFoundError:
        return not (checkpoint / _SIZES).exists() and checkpoint.is_dir()
    except (OSError, ValueError):
        return False


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

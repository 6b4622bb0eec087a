"""Checkpoints that are whole or absent, resume exactly, and hold a model that others can load."""

import errno
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from evals.errors import first_line, shortened
from evals.json_lines import parsed_json
from evals.model_files import FAULTS
from evals.whole_files import give_name, sync_all
from orchestrator.errors import CheckpointError
from orchestrator.objectives.contract import State
from orchestrator.training.engine import Engine
from orchestrator.training.tidying import is_whole, list_files, step_directory

# The exported weights, the engine's own, and the optimiser's master weights and two moments in float32.
_BYTES_PER_PARAMETER = 20
_DELETE = "delete it; training goes on from the one before, or begins anew"


@dataclass(frozen=True)
class Progress:
    """Where a run stands: optimiser steps taken (which fixes the position in the data and in the schedule) and the method's state.

    The state is that of the method with these `hyperparameters`; none are written down where they are not known.
    """

    step: int
    method: str
    state: State
    world_size: int
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: `directory/model` is a Hugging Face directory, the rest resumes training."""

    directory: Path
    progress: Progress

    @property
    def model(self) -> Path:
        """The Hugging Face directory."""
        return self.directory / "model"


def save_checkpoint(engine: Engine, directory: Path, progress: Progress, tokenizer: Any) -> Checkpoint:
    """Write a checkpoint, all ranks together. It gets its name only when every file is on the disk.

    Raises CheckpointError on every rank when any rank could not write.
    """
    final = step_directory(directory, progress.step)
    partial = directory / f".{final.name}.partial"
    _together(engine, partial, lambda: _require_space(directory, engine.parameters))
    _together(engine, partial, lambda: _fresh(partial, engine.rank))
    _together(engine, partial, lambda: engine.export(partial / "model"))
    _together(engine, partial, lambda: engine.save(partial / "engine"))
    _together(engine, partial, lambda: _write_rest(partial, progress, tokenizer, engine.rank))
    # Each rank what it wrote: a file system that machines share has it in each one's memory.
    _together(engine, partial, lambda: sync_all(partial))
    _together(engine, partial, lambda: _name(partial, final, engine.rank))
    return Checkpoint(final, progress)


def latest_checkpoint(directory: Path) -> Checkpoint | None:
    """The checkpoint with the most steps among those that can be resumed, or None; one that lost some of its files cannot."""
    resumable = (path for path in directory.glob("step-*") if (path / "engine").is_dir() and is_whole(path))
    newest = max(resumable, default=None, key=lambda path: path.name)
    return None if newest is None else read_checkpoint(newest)


def read_checkpoint(directory: Path) -> Checkpoint:
    """The checkpoint in `directory`. Raises CheckpointError when it is not whole."""
    try:
        progress = Progress(**parsed_json((directory / "progress.json").read_bytes()))
        if not (isinstance(progress.step, int) and isinstance(progress.state, dict) and isinstance(progress.hyperparameters, dict)):
            raise TypeError(f"no progress: {progress}")
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError("this is no whole checkpoint", str(directory), _DELETE) from error
    return Checkpoint(directory, progress)


def restore(engine: Engine, checkpoint: Checkpoint, method: str) -> Progress:
    """Bring the engine and the random numbers to where the checkpoint was written.

    Raises CheckpointError for a checkpoint of another method or of another number of workers, and for a damaged one.
    """
    if checkpoint.progress.method != method:
        raise CheckpointError(
            f"the checkpoint was trained with {checkpoint.progress.method}, not with {method}",
            str(checkpoint.directory),
            "choose another directory",
            code="DAA-0512",
        )
    if checkpoint.progress.world_size != engine.world_size:
        raise CheckpointError(
            f"the checkpoint was written by {checkpoint.progress.world_size} workers, and this run has {engine.world_size}",
            str(checkpoint.directory),
            f"set cluster.workers = {checkpoint.progress.world_size}, or choose another directory",
            code="DAA-0513",
        )
    engine.load(checkpoint.directory / "engine")
    try:
        torch.set_rng_state(torch.load(checkpoint.directory / f"random-{engine.rank}.pt", weights_only=True))
    except FAULTS as error:
        raise CheckpointError(f"the checkpoint is damaged: {shortened(str(error))}", str(checkpoint.directory), _DELETE) from error
    return checkpoint.progress


def _together(engine: Engine, place: Path, action: Callable[[], None]) -> None:
    """Run `action` on all ranks; raise on all of them if it failed on one."""
    problem = ""
    try:
        action()
    except (OSError, RuntimeError, SafetensorError) as error:
        problem = first_line(error)
    failures = engine.gather(torch.tensor([float(bool(problem))]))
    if any(float(failed) for failed in failures):
        if engine.rank == 0:
            shutil.rmtree(place, ignore_errors=True)
        free = shutil.disk_usage(place.parent if place.parent.exists() else "/").free >> 20
        raise CheckpointError(
            f"a checkpoint could not be written: {problem or 'another worker failed to write'}",
            f"{place.parent} ({free} MiB free)",
            "free some disk space, or give another directory with --dir; the run resumes from its last whole checkpoint",
            code="DAA-0511",
        )


def _require_space(directory: Path, parameters: int) -> None:
    """Refuse before anything is written: a library whose ranks meet while they write would wait for ever for one that could not."""
    directory.mkdir(parents=True, exist_ok=True)
    needed, free = parameters * _BYTES_PER_PARAMETER, shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"No space left: a checkpoint takes about {needed >> 20} MiB")


def _fresh(partial: Path, rank: int) -> None:
    if rank == 0:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)


def _write_rest(partial: Path, progress: Progress, tokenizer: Any, rank: int) -> None:
    torch.save(torch.get_rng_state(), partial / f"random-{rank}.pt")
    if rank == 0:
        tokenizer.save_pretrained(partial / "model")
        (partial / "progress.json").write_text(json.dumps(asdict(progress)))


def _name(partial: Path, final: Path, rank: int) -> None:
    if rank == 0:
        list_files(partial)
        shutil.rmtree(final, ignore_errors=True)
        give_name(partial, final)

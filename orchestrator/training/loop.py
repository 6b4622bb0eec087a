"""The training loop: data order, steps, checkpoints. It knows neither the method nor what holds the weights."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orchestrator.objectives.contract import Objective
from orchestrator.policy.loading import load_reference
from orchestrator.policy.reference_cache import keep_reference, merge_shares, read_reference, reference_key
from orchestrator.policy.scoring import ReferenceScores, ScoringModel, reference_scores
from orchestrator.preferences.pairs import TokenizedPair, collate
from orchestrator.settings import TrainingSettings
from orchestrator.training.checkpoint import Checkpoint, Progress, forget_optimizer, latest_checkpoint, restore, save_checkpoint
from orchestrator.training.engine import Engine
from orchestrator.training.schedule import learning_rate
from orchestrator.training.step import MicroBatch, StepResult, train_step


@dataclass(frozen=True)
class TrainingRun:
    """All that decides a run's result: the method, the settings, the tokenised pairs and the base model; and where it writes."""

    objective: Objective
    settings: TrainingSettings
    pairs: Sequence[TokenizedPair]
    model: str
    tokenizer: Any
    directory: Path
    reference_cache: Path

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.total_steps(len(self.pairs))


def train(run: TrainingRun, engine: Engine, on_checkpoint: Callable[[Checkpoint], bool]) -> Checkpoint:
    """Train to the last step, resuming from the newest whole checkpoint of `run.directory`.

    `on_checkpoint` is called on rank 0 after each checkpoint, the resumed one included, and says whether to go on. Returns the last
    checkpoint.
    """
    progress, previous = _begin(run, engine)
    if previous is not None and not _all_go_on(engine, previous, on_checkpoint):
        return previous
    reference = _reference(run, engine)
    checkpoint_steps = run.settings.checkpoint_steps(len(run.pairs))
    for step in range(progress.step, run.steps):
        started = time.perf_counter()
        micro_batches = _micro_batches(run, engine, step, reference)
        rate = learning_rate(run.settings, step, run.steps)
        result = train_step(engine, run.objective, progress.state, micro_batches, rate)
        progress = Progress(step + 1, run.objective.name, result.state, engine.world_size)
        _record(run.directory, engine.rank, progress.step, result, time.perf_counter() - started)
        if progress.step in checkpoint_steps:
            checkpoint = save_checkpoint(engine, run.directory, progress, run.tokenizer)
            if previous is not None and engine.rank == 0:
                forget_optimizer(previous)
            previous = checkpoint
            if not _all_go_on(engine, checkpoint, on_checkpoint):
                break
    if previous is None:
        previous = save_checkpoint(engine, run.directory, progress, run.tokenizer)
    return previous


def global_batch(pairs: int, batch_size: int, step: int, seed: int) -> list[int]:
    """Indices of the pairs of step `step`: every epoch is a new permutation, and a pure function of the seed."""
    per_epoch = pairs // batch_size
    epoch, position = divmod(step, per_epoch)
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[position * batch_size : (position + 1) * batch_size].tolist()


def _begin(run: TrainingRun, engine: Engine) -> tuple[Progress, Checkpoint | None]:
    checkpoint = latest_checkpoint(run.directory)
    if checkpoint is not None:
        return restore(engine, checkpoint, run.objective.name), checkpoint
    torch.manual_seed(run.settings.seed + engine.rank)
    return Progress(0, run.objective.name, run.objective.initial_state(), engine.world_size), None


def _reference(run: TrainingRun, engine: Engine) -> ReferenceScores | ScoringModel | None:
    """None, all pairs' reference scores, or the frozen model where the objective compares logits."""
    if not run.objective.needs.reference:
        return None
    precision = run.settings.dtype
    if run.objective.needs.neighbour_step is not None:
        return load_reference(run.model, precision, engine.device)
    key = reference_key(run.model, run.pairs, precision)
    kept = read_reference(run.reference_cache, key)
    # Computing is a collective: the ranks go either way together, also when the file appears while they look.
    if engine.average({"kept": float(kept is not None)})["kept"] == 1 and kept is not None:
        return kept
    scores = _compute_reference(run, engine)
    if engine.rank == 0:
        keep_reference(run.reference_cache, key, scores)
    return scores


def _compute_reference(run: TrainingRun, engine: Engine) -> ReferenceScores:
    """Each rank scores every world_size-th pair; all ranks get all scores."""
    model = load_reference(run.model, run.settings.dtype, engine.device)
    mine = range(engine.rank, len(run.pairs), engine.world_size)
    parts = [
        reference_scores(model, collate(run.pairs, indices, run.tokenizer.pad_token_id).to(engine.device))
        for indices in _slices(mine, 4 * run.settings.micro_batch_size)
    ]
    chosen, rejected = (
        merge_shares(engine.gather(torch.cat(side).cpu())) for side in zip(*((p.chosen, p.rejected) for p in parts), strict=True)
    )
    return ReferenceScores(chosen, rejected)


def _micro_batches(run: TrainingRun, engine: Engine, step: int, reference: ReferenceScores | ScoringModel | None) -> list[MicroBatch]:
    """The share of the global batch that falls to this rank."""
    batch = global_batch(len(run.pairs), run.settings.batch_size, step, run.settings.seed)
    share = len(batch) // engine.world_size
    mine = batch[engine.rank * share : (engine.rank + 1) * share]
    micro_batches = []
    for indices in _slices(mine, run.settings.micro_batch_size):
        pairs = collate(run.pairs, indices, run.tokenizer.pad_token_id)
        micro_batches.append(MicroBatch(pairs, _select(reference, pairs.indices, engine.device)))
    return micro_batches


def _select(
    reference: ReferenceScores | ScoringModel | None, indices: torch.Tensor, device: torch.device
) -> ReferenceScores | ScoringModel | None:
    if isinstance(reference, ReferenceScores):
        return ReferenceScores(reference.chosen[indices].to(device), reference.rejected[indices].to(device))
    return reference


def _slices(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _all_go_on(engine: Engine, checkpoint: Checkpoint, on_checkpoint: Callable[[Checkpoint], bool]) -> bool:
    """Rank 0 asks; every rank hears the answer."""
    stops = engine.rank == 0 and not on_checkpoint(checkpoint)
    return engine.average({"stops": float(stops)})["stops"] == 0


def _record(directory: Path, rank: int, step: int, result: StepResult, seconds: float) -> None:
    if rank == 0:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "metrics.jsonl").open("a") as metrics:
            metrics.write(json.dumps({"step": step, "seconds": round(seconds, 4), **result.as_dict()}) + "\n")

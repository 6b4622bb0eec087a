"""The training loop: data order, steps, checkpoints. It knows neither the method nor what holds the weights."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orchestrator.objectives.contract import Objective
from orchestrator.policy.loading import load_reference
from orchestrator.policy.reference_cache import ReferenceTable, complete, keep_share, read_reference, reference_key, writing_alone
from orchestrator.policy.scoring import FrozenModel, ReferenceScores, reference_scores
from orchestrator.preferences.packing import split_evenly, split_in_order
from orchestrator.preferences.pairs import PairBatch, TokenizedPair, collate, tokens_of
from orchestrator.settings import TrainingSettings
from orchestrator.training.checkpoint import Checkpoint, Progress, forget_optimizer, latest_checkpoint, restore, save_checkpoint
from orchestrator.training.engine import Engine
from orchestrator.training.inputs import check_references
from orchestrator.training.records import Records
from orchestrator.training.schedule import learning_rate
from orchestrator.training.step import MicroBatch, train_step
from orchestrator.training.telemetry import Meter, padding_share


@dataclass(frozen=True)
class TrainingRun:
    """All that decides a run's result: the method, the settings, the tokenised pairs and the models; and where it writes.

    `references` are models besides the base model that some methods compare the policy with.
    """

    objective: Objective
    settings: TrainingSettings
    pairs: Sequence[TokenizedPair]
    model: str
    tokenizer: Any
    directory: Path
    reference_cache: str
    references: tuple[str, ...] = ()

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
    references = _references(run, engine)
    checkpoint_steps = run.settings.checkpoint_steps(len(run.pairs))
    records, meter = Records(run.directory, progress.step, engine.rank == 0), Meter(engine)
    for step in range(progress.step, run.steps):
        with engine.watch("data"):
            batch = global_batch(len(run.pairs), run.settings.batch_size, step, run.settings.seed)
            micro_batches = _micro_batches(run, engine, batch, references)
        rate = learning_rate(run.settings, step, run.steps)
        result = train_step(engine, run.objective, progress.state, micro_batches, run.settings.batch_size, rate)
        progress = Progress(step + 1, run.objective.name, result.state, engine.world_size)
        records.add(progress.step, result, meter.step(*_amounts(run, batch), _padding(engine, micro_batches)))
        if progress.step in checkpoint_steps:
            records.tell(run.steps)
            with engine.watch("checkpoint"):
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


@dataclass(frozen=True)
class _References:
    """What the policy is compared with: None, all pairs' scores, or the frozen model where the objective compares logits."""

    main: ReferenceTable | FrozenModel | None
    extra: tuple[ReferenceTable, ...]


def _references(run: TrainingRun, engine: Engine) -> _References:
    needs = run.objective.needs
    check_references({run.objective.name: needs}, len(run.references))
    main = None
    if needs.reference_logits:
        main = _frozen(run, engine, run.model)
    elif needs.reference:
        main = _reference_table(run, engine, run.model)
    return _References(main, tuple(_reference_table(run, engine, model) for model in run.references) if needs.extra_references else ())


def _frozen(run: TrainingRun, engine: Engine, name: str) -> FrozenModel:
    """A reference model: the policy without its adapters where it is that, else another copy in memory."""
    if engine.base is not None and name == run.model:
        return engine.base
    return engine.prepare(load_reference(name, run.settings.dtype, engine.device, run.settings.compile))


def _reference_table(run: TrainingRun, engine: Engine, name: str) -> ReferenceTable:
    """All pairs' scores under a model, from the cache; the ranks compute them together when they are not there."""
    needs, cache = run.objective.needs, run.reference_cache
    computed = run.settings.computed(is_trained=name == run.model)
    key = reference_key(name, run.pairs, computed, engine.layout, needs.candidates, needs.mismatched)
    precision = torch.promote_types(run.settings.dtype, torch.float32)
    with writing_alone(cache, key) if engine.rank == 0 else nullcontext():
        kept = read_reference(cache, key, precision)
        # Computing is a collective: the ranks go either way together, also when the scores appear while they look.
        if engine.average({"kept": float(kept is not None)})["kept"] == 1 and kept is not None:
            return kept
        scores = _compute_share(run, engine, name)
        # Ranks that share sequences have the same scores: the first of them keeps them.
        is_first = engine.rank % (engine.world_size // engine.shares) == 0
        names = engine.gather(keep_share(cache, key, scores) if is_first else None)
        if engine.rank == 0:
            complete(cache, key, [name for name in names if name is not None])
        engine.gather(True)
    computed = read_reference(cache, key, precision)
    assert computed is not None
    return computed


def _compute_share(run: TrainingRun, engine: Engine, name: str) -> dict[int, ReferenceScores]:
    """Each share of the ranks scores its part of the pairs, in as many passes as the others: weights spread over ranks need all of them."""
    needs, model = run.objective.needs, _frozen(run, engine, name)
    mine = list(range(engine.share, len(run.pairs), engine.shares))
    costs = [_tokens_of(run, pair) for pair in mine]
    found: dict[int, ReferenceScores] = {}
    splits = split_in_order(costs, run.settings.micro_batch_tokens)
    splits += splits[-1:] * (max(engine.gather(len(splits))) - len(splits))
    for numbers in splits:
        batch = _collate(run, [mine[number] for number in numbers])
        scores = reference_scores(model, batch.to(engine.device))
        start = 0
        for place, end in enumerate(batch.responses.ends):
            mismatched = None if scores.mismatched is None else scores.mismatched[place].cpu()
            found[mine[numbers[place]]] = ReferenceScores(scores.tokens[start:end].cpu(), mismatched if needs.mismatched else None)
            start = end
    return found


def _micro_batches(run: TrainingRun, engine: Engine, batch: Sequence[int], references: _References) -> list[MicroBatch]:
    """The share of the global batch that falls to this rank."""
    costs = [_tokens_of(run, pair) for pair in batch]
    micro_batches = []
    for numbers in split_evenly(costs, engine.shares, run.settings.micro_batch_tokens)[engine.share]:
        indices = [batch[number] for number in numbers]
        main = references.main
        reference = main.of(indices).to(engine.device) if isinstance(main, ReferenceTable) else main
        extra = tuple(table.of(indices).to(engine.device) for table in references.extra)
        micro_batches.append(MicroBatch(_collate(run, indices), reference, extra))
    return micro_batches


def _amounts(run: TrainingRun, batch: Sequence[int]) -> tuple[int, int, int]:
    """How many pairs, tokens and response tokens a global batch has."""
    tokens = sum(_tokens_of(run, pair) for pair in batch)
    return len(batch), tokens, tokens - sum(len(run.pairs[pair].prompt) for pair in batch)


def _padding(engine: Engine, micro_batches: Sequence[MicroBatch]) -> float:
    return padding_share([micro.pairs.responses for micro in micro_batches], engine.layout)


def _collate(run: TrainingRun, indices: Sequence[int]) -> PairBatch:
    needs = run.objective.needs
    return collate(run.pairs, indices, others=needs.candidates, mismatched=needs.mismatched)


def _tokens_of(run: TrainingRun, pair: int) -> int:
    needs = run.objective.needs
    return tokens_of(run.pairs[pair], others=needs.candidates, mismatched=needs.mismatched)


def _all_go_on(engine: Engine, checkpoint: Checkpoint, on_checkpoint: Callable[[Checkpoint], bool]) -> bool:
    """Rank 0 asks; every rank hears the answer."""
    stops = engine.rank == 0 and not on_checkpoint(checkpoint)
    return engine.average({"stops": float(stops)})["stops"] == 0

"""The training loop: data order, steps, checkpoints. It knows neither the method nor what holds the weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import torch

from orchestrator.objectives.contract import State
from orchestrator.preferences.packing import split_evenly
from orchestrator.training.checkpoint import Checkpoint, Progress, latest_checkpoint, restore, save_checkpoint
from orchestrator.training.engine import Engine
from orchestrator.training.records import Records
from orchestrator.training.references import References, references_of
from orchestrator.training.run import TrainingRun
from orchestrator.training.schedule import learning_rate
from orchestrator.training.selecting import selected_pairs
from orchestrator.training.step import MicroBatch, train_step
from orchestrator.training.telemetry import Meter, padding_share
from orchestrator.training.tidying import forget_optimizer
from orchestrator.training.validation import validate


def train(
    run: TrainingRun, engine: Engine, on_checkpoint: Callable[[Checkpoint], bool], is_wanted: Callable[[], bool] | None = None
) -> Checkpoint | None:
    """Train to the run's last step, resuming from the newest whole checkpoint of `run.directory`.

    `on_checkpoint` is called on rank 0 after each checkpoint, the resumed one included, and says whether to go on. `is_wanted` is asked
    there before every step, and must answer at once. Returns the last checkpoint, None for a run that was not wanted up to its first one.
    """
    progress, previous = _begin(run, engine)
    if previous is not None and not _all_hear(engine, partial(on_checkpoint, previous)):
        return previous
    references = references_of(run, engine)
    kept = selected_pairs(run, engine)
    checkpoint_steps = run.settings.checkpoint_steps(len(kept))
    records, meter = Records(run.directory, progress.step, engine.rank == 0), Meter(engine)
    for step in range(progress.step, run.last_step):
        if is_wanted is not None and not _all_hear(engine, is_wanted):
            break
        with engine.watch("data"):
            batch = [kept[number] for number in global_batch(len(kept), run.settings.batch_size, step, run.settings.seed)]
            micro_batches = _micro_batches(run, engine, batch, references)
        rate = learning_rate(run.settings, step, run.steps)
        result = train_step(engine, run.objective, progress.state, micro_batches, run.settings.batch_size, rate)
        progress = replace(progress, step=step + 1, state=result.state)
        telemetry = meter.step(*_amounts(run, batch), _padding(engine, micro_batches))
        if progress.step not in checkpoint_steps:
            records.add(progress.step, result, telemetry)
        else:
            with engine.watch("validation"):
                records.add(progress.step, result, telemetry, validate(run, engine, references, progress.state))
            records.tell(run.steps)
            with engine.watch("checkpoint"):
                records.keep()
                checkpoint = save_checkpoint(engine, run.directory, progress, run.tokenizer)
            if previous is not None and engine.rank == 0 and not run.keeps_engines:
                forget_optimizer(previous.directory)
            previous = checkpoint
            if not _all_hear(engine, partial(on_checkpoint, checkpoint)):
                break
    return previous


def global_batch(pairs: int, batch_size: int, step: int, seed: int) -> list[int]:
    """Indices of the pairs of step `step`: every epoch is a new permutation, and a pure function of the seed."""
    per_epoch = pairs // batch_size
    epoch, position = divmod(step, per_epoch)
    return _order(pairs, seed, epoch)[position * batch_size : (position + 1) * batch_size].tolist()


@lru_cache(maxsize=1)
def _order(pairs: int, seed: int, epoch: int) -> torch.Tensor:
    return torch.randperm(pairs, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def _begin(run: TrainingRun, engine: Engine) -> tuple[Progress, Checkpoint | None]:
    checkpoint, objective = latest_checkpoint(run.directory), run.objective
    if checkpoint is not None:
        progress = restore(engine, checkpoint, objective.name)
        return replace(progress, state=_own_state(run, progress), hyperparameters=objective.hyperparameters()), checkpoint
    torch.manual_seed(run.settings.seed + engine.rank)
    return Progress(0, objective.name, objective.initial_state(), engine.world_size, objective.hyperparameters()), None


def _own_state(run: TrainingRun, progress: Progress) -> State:
    """The state in which a run goes on from where it, or the run whose training it takes up, stood."""
    objective, state, before = run.objective, progress.state, progress.hyperparameters
    own = objective.hyperparameters()
    if before != own and before.keys() == own.keys():
        state = objective.taken_up(state, before)
    return objective.compared_anew(state) if progress.step == run.compared_since else state


def _micro_batches(run: TrainingRun, engine: Engine, batch: Sequence[int], references: References) -> list[MicroBatch]:
    """The share of the global batch that falls to this rank."""
    costs = [run.tokens_of(pair) for pair in batch]
    micro_batches = []
    for numbers in split_evenly(costs, engine.shares, run.settings.micro_batch_tokens)[engine.share]:
        indices = [batch[number] for number in numbers]
        micro_batches.append(MicroBatch(run.collate(indices), *references.of(indices, engine.device)))
    return micro_batches


def _amounts(run: TrainingRun, batch: Sequence[int]) -> tuple[int, int, int]:
    """How many pairs, tokens and response tokens a global batch has."""
    tokens = sum(run.tokens_of(pair) for pair in batch)
    return len(batch), tokens, tokens - sum(len(run.pairs[pair].prompt) for pair in batch)


def _padding(engine: Engine, micro_batches: Sequence[MicroBatch]) -> float:
    return padding_share([micro.pairs.responses for micro in micro_batches], engine.layout)


def _all_hear(engine: Engine, goes_on: Callable[[], bool]) -> bool:
    """Rank 0 asks; every rank hears the answer."""
    stops = engine.rank == 0 and not goes_on()
    return engine.average({"stops": float(stops)})["stops"] == 0

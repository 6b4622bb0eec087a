"""Scoring without training: every rank takes its part of the pairs, and all ranks run their models equally often."""

from dataclasses import dataclass

from orchestrator.preferences.packing import split_in_order
from orchestrator.training.engine import Engine
from orchestrator.training.run import TrainingRun


@dataclass(frozen=True)
class Passes:
    """A rank's micro-batches, as indices of pairs. The first `own` are its part; the others keep it in step with ranks that have more."""

    batches: list[list[int]]
    own: int


def in_step(run: TrainingRun, engine: Engine, pairs: range) -> Passes:
    """Deal pairs out to be scored in as many passes on every rank: weights that are spread over ranks need all of them at each."""
    if not pairs:
        return Passes([], 0)
    mine = pairs[engine.share :: engine.shares]
    splits = split_in_order([run.tokens_of(pair) for pair in mine], run.settings.micro_batch_tokens)
    batches = [[mine[number] for number in numbers] for numbers in splits]
    missing = max(engine.gather(len(batches))) - len(batches)
    return Passes(batches + [batches[-1] if batches else [pairs[0]]] * missing, len(batches))

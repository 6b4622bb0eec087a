"""How a policy orders pairs that it is not trained on: by its method's own rewards, without a trace in the training."""

import logging
import math
from dataclasses import dataclass

import torch

from orchestrator.objectives.contract import PairLoss, State
from orchestrator.policy.scores import PairScores
from orchestrator.training.engine import Engine
from orchestrator.training.passes import in_step
from orchestrator.training.references import References
from orchestrator.training.run import TrainingRun
from orchestrator.training.step import MicroBatch, gathered, scored

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """Of `pairs` held-out pairs the share whose chosen response has the higher reward, a tie counting half; and the mean difference.

    The margin is in the unit of the method's rewards, so that methods cannot be compared by it.
    """

    accuracy: float
    margin: float
    pairs: int

    def as_dict(self) -> dict[str, float]:
        """The figures as a step's record has them."""
        return {"validation_accuracy": self.accuracy, "validation_margin": self.margin, "validation_pairs": self.pairs}


def validate(run: TrainingRun, engine: Engine, references: References, state: State) -> Validation | None:
    """Score the held-out pairs on all ranks together, by the objective in `state`; weights, gradients and random numbers stay as they are.

    The objective sees all pairs at once, however many ranks score them. None where there are none, or where it cannot reward them.
    """
    outcome = held_out_outcome(run, engine, references, state)
    if outcome is None:
        return None
    margins = outcome.chosen_reward.double() - outcome.rejected_reward.double()
    accuracy, margin = torch.stack([(0.5 + 0.5 * margins.sign()).mean(), margins.mean()]).tolist()
    return Validation(accuracy, margin, len(margins)) if math.isfinite(margin) else None


def held_out_outcome(run: TrainingRun, engine: Engine, references: References, state: State) -> PairLoss | None:
    """What the objective makes of the held-out pairs, in their order, on every rank; see `validate`."""
    if not run.validation:
        return None
    devices = [engine.device] if engine.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        return _outcome(run, _scores(run, engine, references), state)


def _scores(run: TrainingRun, engine: Engine, references: References) -> PairScores:
    own: list[PairScores] = []
    places: list[int] = []
    passes = in_step(run, engine, run.validation_indices)
    for indices in passes.batches:
        micro = MicroBatch(run.collate(indices), *references.of(indices, engine.device))
        scores = scored(engine, micro, run.objective.needs)
        if len(own) < passes.own:
            own.append(scores)
            places += indices
    return gathered(engine, own, torch.tensor(places, dtype=torch.long)).scores


def _outcome(run: TrainingRun, scores: PairScores, state: State) -> PairLoss | None:
    """What the objective makes of the scores; None where it refuses a batch of this size, which is no reason to end its training."""
    try:
        return run.objective(scores, state)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        logger.warning("%s cannot reward %d held-out pairs: %r", run.objective.name, len(run.validation), error)
        return None

"""One optimiser step: micro-batches through the objective and the engine."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from orchestrator.errors import TrainingDivergedError
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.policy.scores import PairScores
from orchestrator.policy.scoring import ReferenceScores, ScoringModel, score_pairs
from orchestrator.preferences.pairs import PairBatch
from orchestrator.training.engine import Engine


@dataclass(frozen=True)
class MicroBatch:
    """Pairs with their reference: scores where they were computed before, the model where logits are needed, else None."""

    pairs: PairBatch
    reference: ReferenceScores | ScoringModel | None


@dataclass(frozen=True)
class StepResult:
    """Means over all pairs of the step on all ranks; `state` is the method's state after it, `learning_rate` the one it used."""

    loss: float
    accuracy: float
    margin: float
    chosen_reward: float
    rejected_reward: float
    chosen_logp: float
    rejected_logp: float
    gradient_norm: float
    learning_rate: float
    state: State

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def train_step(engine: Engine, objective: Objective, state: State, micro_batches: Sequence[MicroBatch], learning_rate: float) -> StepResult:
    """Train on one global batch. Raises TrainingDivergedError, on all ranks alike, before a loss that is not finite reaches the weights."""
    totals: Counter[str] = Counter()
    for micro in micro_batches:
        pairs = micro.pairs.to(engine.device)
        scores = score_pairs(engine.policy, micro.reference, pairs, objective.needs)
        outcome = objective(scores, state)
        engine.backward(outcome.loss.mean())
        totals.update(_summary(scores, outcome))
    averaged = engine.average({key: value / len(micro_batches) for key, value in totals.items()})
    if not torch.isfinite(torch.tensor(averaged["loss"])):
        raise TrainingDivergedError(
            f"the loss of {objective.name} is {averaged['loss']}",
            cure="lower the learning rate, or choose hyperparameters nearer the defaults",
        )
    gradient_norm = engine.update(learning_rate)
    statistics = {key.removeprefix("state."): value for key, value in averaged.items() if key.startswith("state.")}
    measured = {key: value for key, value in averaged.items() if not key.startswith("state.")}
    next_state = objective.next_state(state, statistics)
    return StepResult(**measured, gradient_norm=gradient_norm, learning_rate=learning_rate, state=next_state)


@torch.no_grad()
def _summary(scores: PairScores, outcome: PairLoss) -> dict[str, float]:
    values = {
        "loss": outcome.loss,
        "accuracy": (outcome.chosen_reward > outcome.rejected_reward).float(),
        "margin": outcome.chosen_reward - outcome.rejected_reward,
        "chosen_reward": outcome.chosen_reward,
        "rejected_reward": outcome.rejected_reward,
        "chosen_logp": scores.chosen.logp,
        "rejected_logp": scores.rejected.logp,
    }
    means = {key: value.mean().item() for key, value in values.items()}
    return means | {f"state.{key}": float(value) for key, value in outcome.statistics.items()}

"""One optimiser step: micro-batches through the objective and the engine."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from orchestrator.errors import TrainingDivergedError
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.policy.scores import Needs, PairScores, join_pairs, map_tensors, policy_measurements
from orchestrator.policy.scoring import FrozenModel, Losses, ReferenceScores, score_pairs
from orchestrator.preferences.pairs import PairBatch
from orchestrator.training.engine import Engine


@dataclass(frozen=True)
class MicroBatch:
    """Pairs with their reference: scores where they were computed before, the model where logits are needed, else None."""

    pairs: PairBatch
    reference: ReferenceScores | FrozenModel | None
    extra: tuple[ReferenceScores, ...] = ()


@dataclass(frozen=True)
class StepResult:
    """Means over all pairs of the step on all ranks; `state` is the method's state after it, `learning_rate` the one it used.

    Rewards, margin and accuracy are the method's own. Log-probabilities are None for reward models. `drift` is the mean of
    |log pi - log pi_ref| per token over both responses, in nats, None for methods without a reference. `longer_chosen` is the share of
    pairs whose chosen response is the longer one, `longer_wins` the share in which the policy's reward prefers the longer one; where
    neither is longer or preferred, a pair counts as half.
    """

    loss: float
    accuracy: float
    margin: float
    chosen_reward: float
    rejected_reward: float
    longer_chosen: float
    longer_wins: float
    gradient_norm: float
    learning_rate: float
    state: State
    chosen_logp: float | None = None
    rejected_logp: float | None = None
    drift: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def train_step(
    engine: Engine, objective: Objective, state: State, micro_batches: Sequence[MicroBatch], pairs: int, learning_rate: float
) -> StepResult:
    """Train on one global batch of `pairs`, of which this rank has the micro-batches.

    Raises TrainingDivergedError, on all ranks alike, before a loss that is not finite reaches the weights.
    """
    if objective.needs.whole_batch:
        averaged = engine.average(_backward_whole(engine, objective, state, micro_batches))
    else:
        averaged = engine.average(_backward_each(engine, objective, state, micro_batches, pairs))
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


def _backward_each(engine: Engine, objective: Objective, state: State, micro_batches: Sequence[MicroBatch], pairs: int) -> dict[str, float]:
    """Every micro-batch by itself; returns this rank's part of the means, which their mean over ranks makes whole."""
    totals: Counter[str] = Counter()
    for number, micro in enumerate(micro_batches, 1):
        with engine.watch("forward"):
            scores = scored(engine, micro, objective.needs, lambda few, _: objective(few, state).loss)
            outcome = objective(scores, state)
        share = engine.shares * len(micro.pairs) / pairs
        engine.backward(outcome.loss.mean() * share, number == len(micro_batches))
        totals.update({key: share * value for key, value in _summary(scores, outcome).items()})
    return dict(totals)


def _backward_whole(engine: Engine, objective: Objective, state: State, micro_batches: Sequence[MicroBatch]) -> dict[str, float]:
    """The whole global batch at once, for objectives whose pairs depend on one another; returns the means over all of its pairs.

    The objective sees the scores of all ranks and micro-batches, and its gradient by each score is sent back through the model. With
    several micro-batches the model scores them twice, first without gradients, so that memory does not grow with the batch.
    """
    in_one = len(micro_batches) == 1
    with engine.watch("forward"), torch.set_grad_enabled(in_one):
        own = [scored(engine, micro, objective.needs) for micro in micro_batches]
    together = gathered(engine, own, torch.cat([micro.pairs.indices for micro in micro_batches]))
    whole, start = together.scores, together.before
    leaves = {place: value.requires_grad_() for place, value in policy_measurements(whole).items()}
    outcome = objective(whole, state)
    gradients = torch.autograd.grad(outcome.loss.mean(), list(leaves.values()), allow_unused=True)
    dealt = together.order.argsort().to(engine.device)
    by_place = {place: gradient[dealt] for place, gradient in zip(leaves, gradients, strict=True) if gradient is not None}
    again = replace(objective.needs, mismatched=False)
    for number, (micro, scores) in enumerate(zip(micro_batches, own, strict=True), 1):
        stop = start + len(micro.pairs)
        rows = {place: gradient[start:stop] for place, gradient in by_place.items()}
        with engine.watch("forward"):
            known = partial(_through_some, rows)
            through = _through(scores if in_one else scored(engine, micro, again, known), rows)
        engine.backward(through * engine.shares, number == len(micro_batches))
        start = stop
    return _summary(whole, outcome)


@dataclass(frozen=True)
class Gathered:
    """The scores of all ranks' pairs in the order of the data; `order` sorts them so, `before` of them are of shares before this rank's."""

    scores: PairScores
    order: Tensor
    before: int


def gathered(engine: Engine, own: Sequence[PairScores], indices: Tensor) -> Gathered:
    """Put together what the ranks have scored; `indices` are the places in the data of this rank's own pairs, which may be none."""
    alike = engine.world_size // engine.shares
    shares = engine.gather([map_tensors(lambda values: values.detach().cpu(), scores) for scores in own])[::alike]
    places = engine.gather(indices)[::alike]
    order = torch.cat(places).argsort()
    # In the order of the data, however they were dealt: objectives that choose among pairs break ties by it.
    whole = map_tensors(lambda values: values[order].to(engine.device), join_pairs([scores for share in shares for scores in share]))
    return Gathered(whole, order, sum(len(of_share) for of_share in places[: engine.share]))


def _through(scores: PairScores, gradients: Mapping[tuple[str, str], Tensor]) -> Tensor:
    """A scalar whose gradient by the model's weights is that of a loss with these gradients by the scores."""
    measured = policy_measurements(scores)
    products = [
        (measured[place] * gradient[tuple(slice(size) for size in measured[place].shape)]).sum()
        for place, gradient in gradients.items()
        if place in measured
    ]
    return torch.stack(products).sum()


def _through_some(gradients: Mapping[tuple[str, str], Tensor], few: PairScores, pairs: slice) -> Tensor:
    return _through(few, {place: gradient[pairs] for place, gradient in gradients.items()})


def scored(engine: Engine, micro: MicroBatch, needs: Needs, losses: Losses | None = None) -> PairScores:
    """What an objective needs of a micro-batch, under the engine's policy (see `score_pairs`)."""
    return score_pairs(engine.policy, micro.reference, micro.pairs.to(engine.device), needs, micro.extra, losses)


@torch.no_grad()
def _summary(scores: PairScores, outcome: PairLoss) -> dict[str, float]:
    margin, longer = outcome.chosen_reward - outcome.rejected_reward, (scores.chosen.length - scores.rejected.length).sign()
    values = {
        "loss": outcome.loss,
        "accuracy": (margin > 0).float(),
        "margin": margin,
        "chosen_reward": outcome.chosen_reward,
        "rejected_reward": outcome.rejected_reward,
        "longer_chosen": (1 + longer) / 2,
        "longer_wins": (1 + longer * margin.sign()) / 2,
    }
    if scores.chosen.value is None:
        values |= {"chosen_logp": scores.chosen.logp, "rejected_logp": scores.rejected.logp}
    if scores.chosen.reference_logp is not None:
        values["drift"] = (scores.chosen.mean_log_ratio.abs() + scores.rejected.mean_log_ratio.abs()) / 2
    # One tensor, so that a GPU is waited for once.
    means = dict(zip(values, torch.stack([value.mean() for value in values.values()]).tolist(), strict=True))
    return means | {f"state.{key}": float(value) for key, value in outcome.statistics.items()}

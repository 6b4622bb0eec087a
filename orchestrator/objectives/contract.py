"""What every method is: hyperparameters, needs, ranges, and a pure function from scores to losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar

from orchestrator.distributions import Distribution
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, float]


@dataclass(frozen=True)
class PairLoss:
    """Losses and implicit rewards of B pairs, all (B,); `statistics` are scalar means over these pairs that `next_state` will need."""

    loss: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor
    statistics: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """A direct alignment method. Subclasses are frozen dataclasses whose fields are the published hyperparameters."""

    name: ClassVar[str]
    paper: ClassVar[str]
    search_space: ClassVar[Mapping[str, Distribution]]
    needs: Needs

    @abstractmethod
    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """Losses of B pairs. Only the policy's log-probabilities carry gradients."""

    def initial_state(self) -> State:
        """The state before the first step; most methods have none."""
        return {}

    def next_state(self, state: State, averaged: State) -> State:
        """The state after an optimiser step; `averaged` are the step's statistics, averaged over all of its pairs on all ranks."""
        return state

    def hyperparameters(self) -> dict[str, float]:
        """The fields by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}  # pyright: ignore[reportArgumentType]


def log_sigmoid(value: Tensor) -> Tensor:
    """Log sigmoid(value), exact in value and gradient to the ends of the dtype.

    Torch is imported at the call, so that the table of methods loads without it.
    """
    from torch.nn.functional import logsigmoid

    return logsigmoid(value)


def sigmoid_loss(margin: Tensor) -> Tensor:
    """-log sigmoid(margin), without overflow."""
    return -log_sigmoid(margin)


def bernoulli_divergence(target: Tensor, prediction: Tensor) -> Tensor:
    """KL(Bernoulli(sigmoid(target)) || Bernoulli(sigmoid(prediction))) of two logits, (B,), at least 0.

    Probabilities are exponentials of log sigmoids: sigmoid's own gradient, s (1 - s), is 0 where 1 - s rounds to 0.
    """
    yes, no = log_sigmoid(target), log_sigmoid(-target)
    return yes.exp() * (yes - log_sigmoid(prediction)) + no.exp() * (no - log_sigmoid(-prediction))

"""What every method is: hyperparameters, needs, ranges, and a pure function from scores to losses."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.distributions import Distribution
from orchestrator.errors import SettingsError
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, float]
Status = Literal["code-checked", "paper text", "derived", "unchecked"]
Limit = tuple[Callable[[Any], bool], str]

_POSITIVE: Limit = (lambda value: value > 0, "above 0")
_NOT_NEGATIVE: Limit = (lambda value: value >= 0, "0 or more")
_SHARE: Limit = (lambda value: 0 <= value < 1, "at least 0 and below 1")
_ANY: Limit = (lambda value: True, "a number")
# The names are the field's standard ones, so they mean the same in every method; a class may set its own in `limits`.
_LIMITS: Mapping[str, Limit] = {
    "beta": _POSITIVE,
    "reward_beta": _POSITIVE,
    "eta": _POSITIVE,
    "tau": _POSITIVE,
    "epsilon": (lambda value: 0 < value < 1, "between 0 and 1"),
    "label_smoothing": (lambda value: 0 <= value < 0.5, "at least 0 and below 0.5"),
    "ema_decay": _SHARE,
    "filter_ratio": _SHARE,
    "sft_weight": _NOT_NEGATIVE,
    "lambda_": _NOT_NEGATIVE,
    "desirable_weight": _NOT_NEGATIVE,
    "undesirable_weight": _NOT_NEGATIVE,
    "ld_alpha": (lambda value: 0 <= value <= 1, "between 0 and 1"),
    "r_max": _POSITIVE,
}


@dataclass(frozen=True)
class PairLoss:
    """Losses and implicit rewards of B pairs, all (B,); `statistics` are scalar means over these pairs that `next_state` will need."""

    loss: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor
    statistics: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """A direct alignment method. Subclasses are frozen dataclasses whose fields are the published hyperparameters.

    `status` says how far the formula was checked: against the authors' or peers' code that was run, against the paper's text, or
    derived. `limits` maps a hyperparameter to a test of its value and the words for it, where it differs from what its name implies.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    status: ClassVar[Status] = "unchecked"
    search_space: ClassVar[Mapping[str, Distribution]] = {}
    limits: ClassVar[Mapping[str, Limit]] = {}
    needs: Needs = Needs()

    def __post_init__(self) -> None:
        """Raises SettingsError for a hyperparameter of the wrong type or outside its limits."""
        for key, value in self.hyperparameters().items():
            declared = type(self).__dataclass_fields__[key]  # pyright: ignore[reportAttributeAccessIssue]
            if value is None and "None" in str(declared.type):
                continue
            default = declared.default
            test, words = self.limits.get(key) or _LIMITS.get(key, _ANY)
            if not _same_kind(value, default) or not test(value):
                kind = "true or false" if isinstance(default, bool) else words
                raise SettingsError(f"{key} is {value!r}", f"{self.name}.{key}", f"it must be {kind}")

    @abstractmethod
    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """Losses of B pairs. Only the policy's log-probabilities carry gradients."""

    def initial_state(self) -> State:
        """The state before the first step; most methods have none."""
        return {}

    def next_state(self, state: State, averaged: State) -> State:
        """The state after an optimiser step; `averaged` are the step's statistics, averaged over all of its pairs on all ranks."""
        return state

    def compared_anew(self, state: State) -> State:
        """The state where another reference takes the place of the one that it was measured against: its statistics begin anew."""
        return self.initial_state() if self.needs.reference else state

    def taken_up(self, state: State, before: Mapping[str, Any]) -> State:
        """The state in which a run that had the hyperparameters `before` is gone on with under these."""
        return state

    def hyperparameters(self) -> dict[str, Any]:
        """The fields by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}  # pyright: ignore[reportArgumentType]

    @classmethod
    def formula(cls) -> str:
        """The loss of one pair, as its `__call__` states it."""
        return inspect.getdoc(cls.__call__) or ""


def log_sigmoid(value: Tensor) -> Tensor:
    """Log sigmoid(value), exact in value and gradient to the ends of the dtype.

    Torch is imported at the call, so that the table of methods loads without it.
    """
    from torch.nn.functional import logsigmoid

    return logsigmoid(value)


def sigmoid(value: Tensor) -> Tensor:
    """Sigmoid(value) whose gradient, s (1 - s), is exact also where 1 - s rounds to 0."""
    return log_sigmoid(value).exp()


def sigmoid_loss(margin: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-(1 - e) log sigmoid(margin) - e log sigmoid(-margin), without overflow; e is the share of labels believed wrong."""
    if label_smoothing == 0:
        return -log_sigmoid(margin)
    return -(1 - label_smoothing) * log_sigmoid(margin) - label_smoothing * log_sigmoid(-margin)


def exponent_limit(values: Tensor) -> float:
    """The largest exponent that stays finite in the dtype of `values`, and in products with it: 700 in float64, else 80."""
    return 700.0 if values.dtype.itemsize == 8 else 80.0


def bernoulli_divergence(target: Tensor, prediction: Tensor) -> Tensor:
    """KL(Bernoulli(sigmoid(target)) || Bernoulli(sigmoid(prediction))) of two logits, (B,), at least 0."""
    yes, no = log_sigmoid(target), log_sigmoid(-target)
    return yes.exp() * (yes - log_sigmoid(prediction)) + no.exp() * (no - log_sigmoid(-prediction))


def categorical_divergence(target: Tensor, prediction: Tensor, is_present: Tensor) -> Tensor:
    """KL(softmax(target) || softmax(prediction)) over the present of K logits, all (B, K) to (B,)."""
    if target.shape[1] == 2:
        return bernoulli_divergence(target[:, 0] - target[:, 1], prediction[:, 0] - prediction[:, 1])
    log_target, log_prediction = (logits.masked_fill(~is_present, -1e30).log_softmax(-1) for logits in (target, prediction))
    return (log_target.exp() * (log_target - log_prediction)).sum(-1)


def as_state(statistics: Mapping[str, Tensor]) -> State:
    """One batch's statistics as plain numbers, as `next_state` takes them."""
    return {key: float(value) for key, value in statistics.items()}


def moving_average(state: State, averaged: State, decay: float) -> State:
    """Exponential moving averages that start at the first step's values; an empty state has seen no step."""
    return {key: decay * state.get(key, value) + (1 - decay) * value for key, value in averaged.items()}


def _same_kind(value: Any, default: Any) -> bool:
    """True for a value of the default's kind: text, a truth value, or else a finite number."""
    if isinstance(default, bool | str):
        return isinstance(value, type(default))
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

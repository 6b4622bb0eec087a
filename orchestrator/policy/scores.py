"""What an objective may ask to be measured, and the measurements it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Needs:
    """What must be measured besides the policy's log-probabilities.

    `reference`: log-probabilities under the frozen reference. `reward`: explicit rewards of the responses, from the data.
    `neighbour_step`: the epsilon of epsilon-DPO, for which policies at neighbouring betas are compared (reference logits).
    `position_kl`: KL(reference || policy) summed over the response's positions (reference logits).
    `prefix`: log-probabilities of the first min(Lw, Ll) tokens of both responses. `log_collision`: see ResponseScores.
    `mismatched`: another prompt's response to the pair's prompt. `candidates`: all scored responses of a prompt, where the data has
    more than two. `extra_references`: how many reference models besides the frozen start of training (`model.references`).
    `whole_batch`: the loss of a pair depends on the whole global batch, over ranks and micro-batches.
    `value`: the scalar that a reward model reads from a response's last token; such a model has no log-probabilities, which are NaN.
    """

    reference: bool = False
    reward: bool = False
    neighbour_step: float | None = None
    position_kl: bool = False
    prefix: bool = False
    log_collision: bool = False
    mismatched: bool = False
    candidates: bool = False
    extra_references: int = 0
    whole_batch: bool = False
    value: bool = False

    @property
    def reference_logits(self) -> bool:
        """True when the reference model itself must run at every step, because its log-probabilities do not suffice."""
        return self.neighbour_step is not None or self.position_kl

    def __or__(self, other: Needs) -> Needs:
        """What two objectives need together."""
        both: dict[str, Any] = {item.name: getattr(self, item.name) or getattr(other, item.name) for item in fields(self)}
        return replace(Needs(**both), extra_references=max(self.extra_references, other.extra_references))


_DIFFERENTIABLE = ("logp", "prefix_logp", "position_kl", "value")
_NEED = {
    "reference_logp": "reference=True",
    "reward": "reward=True",
    "extra_reference_logp": "extra_references=1",
    "prefix_logp": "prefix=True",
    "reference_prefix_logp": "reference=True, prefix=True",
    "position_kl": "position_kl=True",
    "log_collision": "log_collision=True",
    "value": "value=True",
}


@dataclass(frozen=True)
class ResponseScores:
    """Responses to B prompts; every tensor is (B,), or (B, K) for K responses to each prompt.

    Log-probabilities are sums over the response's tokens in nats, `length` counts the tokens; a response of length 0 beyond the first
    two of a prompt is absent. `extra_reference_logp` has one more dimension, the extra references. `prefix_logp` sums over the first
    min(Lw, Ll) tokens only. `position_kl` is the sum over positions of KL(reference || policy) over the vocabulary. `log_collision`
    is the sum over positions of log sum_v pi(v)^2, the log-probability that two draws of the next token agree. `value` is a reward model's.
    """

    logp: Tensor
    length: Tensor
    reference_logp: Tensor | None = None
    reward: Tensor | None = None
    extra_reference_logp: Tensor | None = None
    prefix_logp: Tensor | None = None
    reference_prefix_logp: Tensor | None = None
    position_kl: Tensor | None = None
    log_collision: Tensor | None = None
    value: Tensor | None = None

    @property
    def mean_logp(self) -> Tensor:
        """Mean log-probability per token; an empty response has mean 0."""
        return self.logp / self.length.clamp(min=1)

    @property
    def log_ratio(self) -> Tensor:
        """Log pi(y|x) - log pi_ref(y|x). Raises ValueError when the reference was not measured."""
        return self.logp - self.known_reference_logp

    @property
    def mean_log_ratio(self) -> Tensor:
        """The log ratio per token; an empty response has 0."""
        return self.log_ratio / self.length.clamp(min=1)

    @property
    def known_reference_logp(self) -> Tensor:
        """The reference's log-probability. Raises ValueError when it was not measured."""
        return self.known("reference_logp")

    @property
    def known_reward(self) -> Tensor:
        """The explicit reward. Raises ValueError when it was not measured."""
        return self.known("reward")

    @property
    def known_value(self) -> Tensor:
        """The reward model's value. Raises ValueError when it was not measured."""
        return self.known("value")

    def known(self, measurement: str) -> Tensor:
        """A measurement by name. Raises ValueError when it was not taken, with the need that asks for it."""
        value = getattr(self, measurement)
        if value is None:
            raise ValueError(f"{measurement} was not measured: declare `needs = Needs({_NEED[measurement]})`")
        return value


@dataclass(frozen=True)
class PairScores:
    """Both sides of B pairs. `neighbour_step` (B,) is -1, 0 or 1: which way epsilon-DPO moves the beta of each pair.

    `others` (B, M) are further responses to the same prompts; `mismatched` are responses to other prompts.
    """

    chosen: ResponseScores
    rejected: ResponseScores
    neighbour_step: Tensor | None = None
    others: ResponseScores | None = None
    mismatched: ResponseScores | None = None

    @property
    def log_ratio_margin(self) -> Tensor:
        """D = (log pi - log pi_ref)(chosen) - (log pi - log pi_ref)(rejected), shape (B,)."""
        return self.chosen.log_ratio - self.rejected.log_ratio

    @property
    def candidates(self) -> ResponseScores:
        """All K = 2 + M responses to each prompt, (B, K): the chosen, the rejected, the others."""
        pair = map_tensors(_side_by_side, self.chosen, self.rejected)
        return pair if self.others is None else map_tensors(_appended, pair, self.others)

    @property
    def is_present(self) -> Tensor:
        """Which of the candidates there are, (B, K) bool; the first two always."""
        always = self.chosen.length >= 0
        both = _side_by_side(always, always)
        return both if self.others is None else _appended(both, self.others.length > 0)

    @staticmethod
    def of_candidates(candidates: ResponseScores) -> PairScores:
        """Pairs from K responses (B, K) to each prompt: the first is the chosen one, the second the rejected one."""
        others = map_tensors(lambda values: values[:, 2:], candidates) if candidates.logp.shape[1] > 2 else None
        chosen, rejected = (map_tensors(lambda values, k=k: values[:, k], candidates) for k in (0, 1))
        return PairScores(chosen, rejected, others=others)


Scores = TypeVar("Scores", ResponseScores, PairScores)


def map_tensors(function: Callable[..., Tensor], *parts: Scores) -> Scores:
    """Apply `function` to the tensors that stand in the same place of all parts; what one part lacks, the result lacks."""
    mapped: dict[str, Any] = {}
    for item in fields(parts[0]):
        values = [getattr(part, item.name) for part in parts]
        if any(value is None for value in values):
            mapped[item.name] = None
        elif isinstance(values[0], ResponseScores):
            mapped[item.name] = map_tensors(function, *values)
        else:
            mapped[item.name] = function(*values)
    return type(parts[0])(**mapped)


def join_pairs(parts: Sequence[PairScores]) -> PairScores:
    """The pairs of all parts, one after another; where parts have different numbers of other responses, absent ones fill the gaps."""
    import torch

    most = max(0 if part.others is None else part.others.logp.shape[1] for part in parts)
    return map_tensors(lambda *values: torch.cat(values), *(_with_others(part, most) if most else part for part in parts))


def policy_measurements(scores: PairScores) -> dict[tuple[str, str], Tensor]:
    """The measurements that carry the policy's gradients, by side and field."""
    sides = {"chosen": scores.chosen, "rejected": scores.rejected, "others": scores.others}
    found = {(side, name): getattr(values, name) for side, values in sides.items() if values is not None for name in _DIFFERENTIABLE}
    return {place: value for place, value in found.items() if value is not None}


def _with_others(part: PairScores, count: int) -> PairScores:
    """The same pairs with `count` other responses; those that are added are absent."""
    missing = count - (0 if part.others is None else part.others.logp.shape[1])
    absent = map_tensors(lambda values: values.new_zeros(len(values), missing, *values.shape[1:]), part.chosen)
    return replace(part, others=absent if part.others is None else map_tensors(_appended, part.others, absent))


def _side_by_side(chosen: Tensor, rejected: Tensor) -> Tensor:
    import torch

    return torch.stack([chosen, rejected], dim=1)


def _appended(pair: Tensor, others: Tensor) -> Tensor:
    import torch

    return torch.cat([pair, others], dim=1)

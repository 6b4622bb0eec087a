"""The only place that runs the model: a PairBatch becomes PairScores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from orchestrator.policy.adapters import WithoutAdapters
from orchestrator.policy.head import Guess, Wanted
from orchestrator.policy.scores import Needs, PairScores, ResponseScores, map_tensors
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.packing import PackedResponses
from orchestrator.preferences.pairs import PairBatch

FrozenModel = ScoringModel | WithoutAdapters
# From the scores of some pairs of a batch, and which of them they are, to their losses.
Losses = Callable[[PairScores, slice], Tensor]


@dataclass(frozen=True)
class ReferenceScores:
    """A batch's log-probabilities under a frozen model: `tokens` (R,) of the response tokens, in the batch's order.

    `mismatched` (B,) sums over the mismatched response, where it was asked for.
    """

    tokens: Tensor
    mismatched: Tensor | None = None

    def to(self, device: torch.device) -> "ReferenceScores":
        """The same on `device`."""
        return ReferenceScores(self.tokens.to(device), None if self.mismatched is None else self.mismatched.to(device))


def score_pairs(
    policy: Any,
    reference: ReferenceScores | FrozenModel | None,
    batch: PairBatch,
    needs: Needs,
    extra: Sequence[ReferenceScores] = (),
    losses: Losses | None = None,
) -> PairScores:
    """Measure what an objective needs of one micro-batch of B pairs.

    `policy` is a ScoringModel or an engine's wrapper of one; `reference` is either scores computed before, or the frozen model, which
    needs that compare logits require; `extra` are the scores under further references. `losses` foretells what will be done with the
    scores, for any number of the pairs: the losses (b,) whose sum's gradient, times a number, will come back; it saves work where the
    losses of pairs do not depend on one another. Raises ValueError when a reference that is needed is absent, or values are.
    """
    if needs.reference_logits and not isinstance(reference, FrozenModel):
        raise ValueError("the objective compares logits: it needs the reference model itself, not its log-probabilities")
    if needs.reference and reference is None:
        raise ValueError("the objective needs a reference and none was given")
    if len(extra) < needs.extra_references:
        raise ValueError(f"the objective needs {needs.extra_references} further references and {len(extra)} were given")
    responses = batch.responses
    behind = None
    if isinstance(reference, FrozenModel):
        with torch.no_grad():
            behind = (reference.hidden(responses), reference.head)
        reference = reference_scores(reference, batch, behind[0])
    known = _known(reference, extra, batch, needs)
    mismatched = _mismatched(policy, reference, batch) if needs.mismatched else None
    made = _Assembly(responses, needs, known, mismatched)
    wanted = Wanted(
        responses.labels,
        responses.ends,
        needs.neighbour_step,
        needs.position_kl,
        needs.log_collision,
        behind if needs.reference_logits else None,
        made.guess(losses) if losses is not None and torch.is_grad_enabled() else None,
    )
    return made.scores(policy(responses, wanted), 0, len(batch))


@torch.no_grad()
def reference_scores(model: FrozenModel, batch: PairBatch, hidden: Tensor | None = None) -> ReferenceScores:
    """The frozen model's log-probabilities, by the same code path that scores the policy; `hidden` are its states, if there already."""
    responses = batch.responses
    states = model.hidden(responses) if hidden is None else hidden
    tokens = model.head(states, Wanted(responses.labels, responses.ends))["logp"]
    return ReferenceScores(tokens, None if batch.mismatched is None else _logps(model, batch.mismatched))


@dataclass(frozen=True)
class _Assembly:
    """From measurements of tokens to scores of pairs, of all B or of a few in a row. `known` has what is not the policy's, (B, K)."""

    responses: PackedResponses
    needs: Needs
    known: Mapping[str, Tensor]
    mismatched: ResponseScores | None

    def guess(self, losses: Losses) -> Guess:
        """The gradient of some pairs' summed losses by the log-probabilities of their tokens."""

        def gradient(first: int, behind: int, found: Mapping[str, Tensor]) -> Tensor:
            with torch.enable_grad():
                logp = found["logp"].detach().requires_grad_()
                total = losses(self.scores({**found, "logp": logp}, first, behind), slice(first, behind)).sum()
                return torch.autograd.grad(total, logp, allow_unused=True)[0] if total.requires_grad else torch.zeros_like(logp)

        return gradient

    def scores(self, found: Mapping[str, Tensor], first: int, behind: int) -> PairScores:
        """The scores of the pairs from `first` to the one before `behind`, whose tokens' measurements are given."""
        if self.needs.value and "value" not in found:
            raise ValueError("the objective needs values, which only a reward model measures")
        ends = [0, *self.responses.ends]
        rows = slice(ends[first], ends[behind])
        lengths = self.responses.lengths[first:behind]
        bins = self.responses.response[rows] - first * lengths.shape[1]

        def table(values: Tensor) -> Tensor:
            return _table(values, bins, lengths)

        known = {name: values[first:behind] for name, values in self.known.items()}
        measured = ResponseScores(
            logp=table(found["logp"]),
            length=lengths,
            prefix_logp=table(found["logp"] * _in_prefix(self.responses)[rows]) if self.needs.prefix else None,
            position_kl=table(found["divergence"]) if self.needs.position_kl else None,
            log_collision=table(found["log_collision"]) if self.needs.log_collision else None,
            value=table(found["value"]) if self.needs.value else None,
            **known,
        )
        step = None
        if self.needs.neighbour_step is not None:
            here, smaller, larger = (_separation(table(found[name].detach())) for name in ("logp", "smaller", "larger"))
            step = beta_step(here, smaller, larger)
        mismatched = None if self.mismatched is None else map_tensors(lambda values: values[first:behind], self.mismatched)
        return replace(PairScores.of_candidates(measured), neighbour_step=step, mismatched=mismatched)


def _table(values: Tensor, bins: Tensor, lengths: Tensor) -> Tensor:
    """Sums (B, K) over each response's tokens."""
    return torch.zeros(lengths.numel(), dtype=values.dtype, device=values.device).index_add(0, bins, values).view_as(lengths)


def _known(reference: ReferenceScores | None, extra: Sequence[ReferenceScores], batch: PairBatch, needs: Needs) -> dict[str, Tensor]:
    """What the references and the data say, (B, K)."""
    responses = batch.responses

    def table(tokens: Tensor) -> Tensor:
        if len(tokens) != len(responses.labels):
            raise ValueError("the reference was not measured on all responses of the batch: score it with the same `candidates`")
        return _table(tokens, responses.response, responses.lengths)

    known: dict[str, Tensor] = {}
    if reference is not None:
        known["reference_logp"] = table(reference.tokens)
        if needs.prefix:
            known["reference_prefix_logp"] = table(reference.tokens * _in_prefix(responses))
    if needs.extra_references:
        known["extra_reference_logp"] = torch.stack([table(scores.tokens) for scores in extra], dim=-1)
    if needs.reward:
        known["reward"] = batch.rewards
    return known


def _in_prefix(responses: PackedResponses) -> Tensor:
    """Which tokens (R,) are among the first min(Lw, Ll) of a chosen or rejected response; of the others none is."""
    candidates = responses.lengths.shape[1]
    pair, place = responses.response // candidates, responses.response % candidates
    shorter = responses.lengths[:, :2].min(dim=1).values
    return (place < 2) & (responses.ordinal < shorter[pair])


def beta_step(here: Tensor, smaller: Tensor, larger: Tensor) -> Tensor:
    """Which way each pair's beta should move, (B,) with values -1, 0, 1 (epsilon-DPO, arXiv:2502.13177).

    From the pairs' separations under the policy and under those estimated at beta/(1+epsilon) and beta/(1-epsilon): +1 when separation
    grows strictly as beta shrinks, -1 when it grows strictly as beta rises, else 0.
    """
    up, down = (smaller > here) & (here > larger), (larger > here) & (here > smaller)
    return up.to(here.dtype) - down.to(here.dtype)


def _separation(logps: Tensor) -> Tensor:
    return logps[:, 0] - logps[:, 1]


def _mismatched(policy: Any, reference: ReferenceScores | None, batch: PairBatch) -> ResponseScores:
    """Other prompts' responses, (B,); the policy's log-probabilities carry no gradient."""
    if batch.mismatched is None:
        raise ValueError("the objective needs mismatched responses: collate with mismatched=True")
    return ResponseScores(_logps(policy, batch.mismatched), batch.mismatched.lengths[:, 0], reference and reference.mismatched)


@torch.no_grad()
def _logps(model: Any, responses: PackedResponses) -> Tensor:
    """Sums (B,) over the only response to each prompt."""
    tokens = model(responses, Wanted(responses.labels, responses.ends))["logp"]
    return _table(tokens, responses.response, responses.lengths)[:, 0]

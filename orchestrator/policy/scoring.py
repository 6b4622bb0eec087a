"""The only place that runs the model: a PairBatch becomes PairScores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from orchestrator.policy.scores import Needs, PairScores, ResponseScores, map_tensors
from orchestrator.preferences.pairs import PairBatch, ResponseBatch


@dataclass(frozen=True)
class ReferenceScores:
    """Summed log-probabilities of B pairs under a frozen model.

    `logp` (B, 2 + M): the chosen, the rejected, the others. `prefix_logp` (B, 2): the first min(Lw, Ll) tokens of the first two.
    `mismatched_logp` (B,): the mismatched response, where it was asked for.
    """

    logp: Tensor
    prefix_logp: Tensor
    mismatched_logp: Tensor | None = None

    def select(self, indices: Tensor, device: torch.device) -> "ReferenceScores":
        """The scores of some of the pairs, on `device`."""
        mismatched = None if self.mismatched_logp is None else self.mismatched_logp[indices].to(device)
        return ReferenceScores(self.logp[indices].to(device), self.prefix_logp[indices].to(device), mismatched)


class ScoringModel(nn.Module):
    """A causal language model whose forward pass returns response logits, so that an engine can wrap the whole of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: ResponseBatch) -> "ResponseLogits":
        """Logits at the positions that predict a response token of any row; all rows go through the model in one pass."""
        is_response = rows.is_response[:, 1:]
        predicting = is_response.any(dim=0).nonzero().squeeze(-1)
        output = self.model(input_ids=rows.tokens, attention_mask=rows.is_token.long(), logits_to_keep=predicting, use_cache=False)
        return ResponseLogits(output.logits, rows.tokens[:, predicting + 1], is_response[:, predicting])


@dataclass(frozen=True)
class ResponseLogits:
    """`logits` (N, R, V) of N responses, their labels (N, R), and which of them count (N, R)."""

    logits: Tensor
    labels: Tensor
    counts: Tensor

    def first(self, rows: int) -> "ResponseLogits":
        """The first rows only."""
        return ResponseLogits(self.logits[:rows], self.labels[:rows], self.counts[:rows])

    def token_logps(self, logits: Tensor | None = None) -> Tensor:
        """Log-probabilities (N, R) in float32 or better, 0 where none counts; `logits` replaces the stored ones."""
        values = _precise(self.logits if logits is None else logits)
        negative = F.cross_entropy(values.flatten(0, 1), self.labels.flatten(), reduction="none")
        return -negative.view_as(self.labels) * self.counts

    def logps(self, logits: Tensor | None = None) -> Tensor:
        """Log-probabilities (N,) summed over the responses."""
        return self.token_logps(logits).sum(dim=-1)


def score_pairs(
    policy: Any,
    reference: ReferenceScores | ScoringModel | None,
    batch: PairBatch,
    needs: Needs,
    extra: Sequence[ReferenceScores] = (),
) -> PairScores:
    """Measure what an objective needs of one micro-batch of B pairs.

    `policy` is a ScoringModel or an engine's wrapper of one; `reference` is either scores computed before, or the frozen model, which
    needs that compare logits require; `extra` are the scores under further references. Raises ValueError when a reference that is
    needed is absent.
    """
    if needs.reference_logits and not isinstance(reference, ScoringModel):
        raise ValueError("the objective compares logits: it needs the reference model itself, not its log-probabilities")
    if needs.reference and reference is None:
        raise ValueError("the objective needs a reference and none was given")
    if len(extra) < needs.extra_references:
        raise ValueError(f"the objective needs {needs.extra_references} further references and {len(extra)} were given")
    rows = batch.rows()
    logits: ResponseLogits = policy(rows)
    reference_logits = None
    if isinstance(reference, ScoringModel):
        with torch.no_grad():
            reference_logits = reference(rows)
        reference = _reference_scores(reference_logits, reference, batch)
    measured = replace(
        _policy_scores(logits, reference_logits, len(batch), needs), **_known_before(reference, extra, batch, len(rows.tokens), needs)
    )
    chosen, rejected, others = _sides(measured, len(batch))
    step = None
    if needs.neighbour_step is not None and reference_logits is not None:
        pairs = 2 * len(batch)
        step = neighbour_step(logits.first(pairs), reference_logits.first(pairs), needs.neighbour_step)
    return PairScores(chosen, rejected, step, others, _mismatched(policy, reference, batch) if needs.mismatched else None)


def reference_scores(model: ScoringModel, batch: PairBatch) -> ReferenceScores:
    """The frozen reference's summed log-probabilities, by the same code path that scores the policy."""
    with torch.no_grad():
        return _reference_scores(model(batch.rows()), model, batch)


@torch.no_grad()
def neighbour_step(policy: ResponseLogits, reference: ResponseLogits, epsilon: float) -> Tensor:
    """Which way each pair's beta should move, (B,) with values -1, 0, 1 (epsilon-DPO, arXiv:2502.13177).

    The first half of the rows are the chosen responses, the second half the rejected ones. The policies at beta/(1+epsilon) and
    beta/(1-epsilon) are estimated by mixing logits; +1 when separation of the pair grows strictly as beta shrinks, -1 when it grows
    strictly as beta rises, else 0.
    """
    # Written as f + e (f - f0), a policy that equals its reference has neighbours that equal it to the last bit.
    away = epsilon * (_precise(policy.logits) - _precise(reference.logits))
    here, smaller, larger = (_separation(policy, _precise(policy.logits) + shift) for shift in (0, away, -away))
    up = (smaller > here) & (here > larger)
    down = (larger > here) & (here > smaller)
    return up.to(here.dtype) - down.to(here.dtype)


def position_kl(policy: ResponseLogits, reference: ResponseLogits) -> Tensor:
    """KL(reference || policy) over the vocabulary, summed over each response's positions, (N,) (TDPO, arXiv:2404.11999)."""
    ours, theirs = _precise(policy.logits).log_softmax(-1), _precise(reference.logits).log_softmax(-1)
    return ((theirs.exp() * (theirs - ours)).sum(-1) * policy.counts).sum(-1)


@torch.no_grad()
def log_collision(policy: ResponseLogits) -> Tensor:
    """The log of sum_v pi(v)^2, summed over each response's positions, (N,) (WPO, arXiv:2406.11827)."""
    return ((2 * _precise(policy.logits).log_softmax(-1)).logsumexp(-1) * policy.counts).sum(-1)


def _policy_scores(logits: ResponseLogits, reference: ResponseLogits | None, pairs: int, needs: Needs) -> ResponseScores:
    """What is measured of the policy, in rows."""
    tokens = logits.token_logps()
    return ResponseScores(
        logp=tokens.sum(dim=-1),
        length=logits.counts.sum(dim=-1),
        prefix_logp=_prefix(tokens, logits.counts, pairs) if needs.prefix else None,
        position_kl=position_kl(logits, reference) if needs.position_kl and reference is not None else None,
        log_collision=log_collision(logits) if needs.log_collision else None,
    )


def _known_before(
    reference: ReferenceScores | None, extra: Sequence[ReferenceScores], batch: PairBatch, rows: int, needs: Needs
) -> dict[str, Tensor | None]:
    """What the references and the data say, in rows."""
    known: dict[str, Tensor | None] = {}
    if reference is not None:
        known["reference_logp"] = _in_rows(reference.logp, rows)
        known["reference_prefix_logp"] = _in_rows(F.pad(reference.prefix_logp, (0, rows // len(batch) - 2)), rows) if needs.prefix else None
    if needs.extra_references:
        known["extra_reference_logp"] = torch.stack([_in_rows(scores.logp, rows) for scores in extra], dim=-1)
    if needs.reward:
        parts = [batch.chosen_reward, batch.rejected_reward, *([] if batch.other_rewards is None else [batch.other_rewards.flatten()])]
        known["reward"] = torch.cat(parts)
    return known


def _in_rows(table: Tensor, rows: int) -> Tensor:
    """Columns chosen, rejected, others of B pairs as rows, in the order of PairBatch.rows; columns beyond the batch's are left out."""
    kept = table[:, : rows // len(table)]
    if kept.numel() < rows:
        raise ValueError("the reference was not measured on all responses of the batch: score it with the same `candidates`")
    return torch.cat([kept[:, 0], kept[:, 1], kept[:, 2:].flatten()])


def _sides(measured: ResponseScores, pairs: int) -> tuple[ResponseScores, ResponseScores, ResponseScores | None]:
    """Rows as chosen (B,), rejected (B,) and others (B, M)."""
    chosen = map_tensors(lambda rows: rows[:pairs], measured)
    rejected = map_tensors(lambda rows: rows[pairs : 2 * pairs], measured)
    if len(measured.logp) == 2 * pairs:
        return chosen, rejected, None
    return chosen, rejected, map_tensors(lambda rows: rows[2 * pairs :].unflatten(0, (pairs, -1)), measured)


def _reference_scores(logits: ResponseLogits, model: ScoringModel, batch: PairBatch) -> ReferenceScores:
    tokens = logits.token_logps()
    chosen, rejected, others = _sides(ResponseScores(tokens.sum(dim=-1), logits.counts.sum(dim=-1)), len(batch))
    table = torch.stack([chosen.logp, rejected.logp], dim=1)
    prefix = _prefix(tokens, logits.counts, len(batch))[: 2 * len(batch)].view(2, -1).T
    with torch.no_grad():
        mismatched = None if batch.mismatched is None else model(batch.mismatched).logps()
    return ReferenceScores(table if others is None else torch.cat([table, others.logp], dim=1), prefix.contiguous(), mismatched)


def _mismatched(policy: Any, reference: ReferenceScores | None, batch: PairBatch) -> ResponseScores:
    """Other prompts' responses, (B,); the policy's log-probabilities carry no gradient."""
    if batch.mismatched is None:
        raise ValueError("the objective needs mismatched responses: collate with mismatched=True")
    with torch.no_grad():
        logits: ResponseLogits = policy(batch.mismatched)
    return ResponseScores(logits.logps(), logits.counts.sum(dim=-1), reference and reference.mismatched_logp)


def _prefix(tokens: Tensor, counts: Tensor, pairs: int) -> Tensor:
    """Sums over the first min(Lw, Ll) tokens of chosen and rejected, in rows (N,); of other rows nothing."""
    lengths = counts.sum(dim=-1)
    shorter = lengths[:pairs].minimum(lengths[pairs : 2 * pairs])
    limit = torch.cat([shorter, shorter, torch.zeros_like(lengths[2 * pairs :])])
    return (tokens * (counts.cumsum(dim=-1) <= limit[:, None])).sum(dim=-1)


def _separation(logits: ResponseLogits, mixed: Tensor) -> Tensor:
    chosen, rejected = logits.logps(mixed).chunk(2)
    return chosen - rejected


def _precise(values: Tensor) -> Tensor:
    """In float32 or better."""
    return values if values.dtype.itemsize >= 4 else values.float()

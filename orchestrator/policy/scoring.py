"""The only place that runs the model: a PairBatch becomes PairScores."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from orchestrator.policy.scores import Needs, PairScores, ResponseScores
from orchestrator.preferences.pairs import PairBatch, ResponseBatch


@dataclass(frozen=True)
class ReferenceScores:
    """Summed reference log-probabilities (B,) of both sides."""

    chosen: Tensor
    rejected: Tensor


class ScoringModel(nn.Module):
    """A causal language model whose forward pass returns response logits, so that an engine can wrap the whole of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: PairBatch) -> "ResponseLogits":
        """Logits at the positions that predict response tokens; chosen and rejected go through the model in one pass."""
        tokens = torch.cat([batch.chosen.tokens, batch.rejected.tokens])
        is_token = torch.cat([batch.chosen.is_token, batch.rejected.is_token])
        is_response = torch.cat([batch.chosen.is_response, batch.rejected.is_response])[:, 1:]
        predicting = is_response.any(dim=0).nonzero().squeeze(-1)
        output = self.model(input_ids=tokens, attention_mask=is_token.long(), logits_to_keep=predicting, use_cache=False)
        return ResponseLogits(output.logits, tokens[:, predicting + 1], is_response[:, predicting])


@dataclass(frozen=True)
class ResponseLogits:
    """`logits` (2B, R, V), their labels (2B, R), and which of them count (2B, R); the first B rows are the chosen side."""

    logits: Tensor
    labels: Tensor
    counts: Tensor

    def sums(self, logits: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Summed float32 log-probabilities (B,) of the chosen and of the rejected responses; `logits` replaces the stored ones."""
        values = self.logits if logits is None else logits
        negative = F.cross_entropy(values.flatten(0, 1).float(), self.labels.flatten(), reduction="none")
        summed = -(negative.view_as(self.labels) * self.counts).sum(dim=-1)
        chosen, rejected = summed.chunk(2)
        return chosen, rejected


def score_pairs(policy: Any, reference: ReferenceScores | ScoringModel | None, batch: PairBatch, needs: Needs) -> PairScores:
    """Measure what an objective needs of one micro-batch of B pairs.

    `policy` is a ScoringModel or an engine's wrapper of one; `reference` is either scores computed before, or the frozen model, which
    `needs.neighbour_step` requires because it compares logits. Raises ValueError when the reference that is needed is absent.
    """
    logits = policy(batch)
    reference_logits = None
    if needs.neighbour_step is not None and not isinstance(reference, ScoringModel):
        raise ValueError("neighbouring policies need the reference model itself, not its log-probabilities")
    if isinstance(reference, ScoringModel):
        with torch.no_grad():
            reference_logits = reference(batch)
        reference = ReferenceScores(*reference_logits.sums())
    if needs.reference and reference is None:
        raise ValueError("the objective needs a reference and none was given")
    step = None
    if needs.neighbour_step is not None and reference_logits is not None:
        step = neighbour_step(logits, reference_logits, needs.neighbour_step)
    chosen_logp, rejected_logp = logits.sums()
    return PairScores(
        chosen=_response(chosen_logp, batch.chosen, reference and reference.chosen, batch.chosen_reward if needs.reward else None),
        rejected=_response(
            rejected_logp, batch.rejected, reference and reference.rejected, batch.rejected_reward if needs.reward else None
        ),
        neighbour_step=step,
    )


def reference_scores(model: ScoringModel, batch: PairBatch) -> ReferenceScores:
    """The frozen reference's summed log-probabilities (B,), by the same code path that scores the policy."""
    with torch.no_grad():
        return ReferenceScores(*model(batch).sums())


@torch.no_grad()
def neighbour_step(policy: ResponseLogits, reference: ResponseLogits, epsilon: float) -> Tensor:
    """Which way each pair's beta should move, (B,) with values -1, 0, 1 (epsilon-DPO, arXiv:2502.13177, Eq. 9 to 11).

    The policies at beta/(1+epsilon) and beta/(1-epsilon) are estimated by mixing logits; +1 when separation of the pair grows
    strictly as beta shrinks, -1 when it grows strictly as beta rises, else 0.
    """
    # Written as f + e (f - f0), a policy that equals its reference has neighbours that equal it to the last bit.
    away = epsilon * (policy.logits.float() - reference.logits.float())
    here, smaller, larger = (_separation(policy, policy.logits.float() + shift) for shift in (0, away, -away))
    up = (smaller > here) & (here > larger)
    down = (larger > here) & (here > smaller)
    return up.float() - down.float()


def _separation(logits: ResponseLogits, mixed: Tensor) -> Tensor:
    chosen, rejected = logits.sums(mixed)
    return chosen - rejected


def _response(logp: Tensor, side: ResponseBatch, reference_logp: Tensor | None, reward: Tensor | None) -> ResponseScores:
    return ResponseScores(logp, side.is_response.sum(dim=-1), reference_logp, reward)

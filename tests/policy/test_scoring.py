"""Scores are what transformers gives sequence by sequence, however pairs are batched; and the neighbour step has the right sign."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.policy.loading import load_reference
from orchestrator.policy.scores import Needs
from orchestrator.policy.scoring import ReferenceScores, ResponseLogits, ScoringModel, neighbour_step, reference_scores, score_pairs
from orchestrator.preferences.pairs import PairBatch, TokenizedPair, collate
from tests.policy.plain import GROUPS, plain_logp, uneven_pairs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def uneven() -> list[TokenizedPair]:
    """Pairs of very different lengths."""
    return uneven_pairs()


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("padding", [0, 4])
def test_scores_equal_a_plain_forward_of_each_sequence_whatever_the_grouping(
    groups: list[list[int]], padding: int, policy: ScoringModel, plain_policy: Any, uneven: Sequence[TokenizedPair]
) -> None:
    for indices in groups:
        with torch.no_grad():
            scores = score_pairs(policy, None, collate(uneven, indices, padding), Needs())
        for row, pair in enumerate(uneven[index] for index in indices):
            assert scores.chosen.logp[row].item() == pytest.approx(plain_logp(plain_policy, pair.prompt, pair.chosen), abs=1e-4)
            assert scores.rejected.logp[row].item() == pytest.approx(plain_logp(plain_policy, pair.prompt, pair.rejected), abs=1e-4)
        assert scores.chosen.length.tolist() == [len(uneven[index].chosen) for index in indices]
        assert scores.rejected.length.tolist() == [len(uneven[index].rejected) for index in indices]


def test_a_reference_with_the_policys_weights_gives_zero_log_ratios(
    sharp_model: Path, policy: ScoringModel, uneven: Sequence[TokenizedPair]
) -> None:
    reference = load_reference(str(sharp_model), torch.float32, CPU)
    batch = collate(uneven, range(5), 0)
    for given in (reference, reference_scores(reference, batch)):
        scores = score_pairs(policy, given, batch, Needs(reference=True))
        assert scores.chosen.log_ratio.tolist() == [0.0] * 5
        assert scores.rejected.log_ratio.tolist() == [0.0] * 5


def test_only_the_policy_carries_gradients(sharp_model: Path, policy: ScoringModel, uneven: Sequence[TokenizedPair]) -> None:
    reference = load_reference(str(sharp_model), torch.float32, CPU)
    scores = score_pairs(policy, reference, collate(uneven, [0, 1], 0), Needs(reference=True, neighbour_step=0.01))
    assert scores.chosen.logp.requires_grad and scores.rejected.logp.requires_grad
    assert not scores.chosen.known_reference_logp.requires_grad
    assert scores.neighbour_step is not None and not scores.neighbour_step.requires_grad
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_rewards_are_measured_only_when_they_are_needed(policy: ScoringModel, uneven: Sequence[TokenizedPair]) -> None:
    batch = collate(uneven, [0, 1], 0)
    assert score_pairs(policy, None, batch, Needs(reward=True)).chosen.known_reward.tolist() == [1.5, 1.5]
    with pytest.raises(ValueError, match=r"reward was not measured: declare .*reward=True"):
        _ = score_pairs(policy, None, batch, Needs()).chosen.known_reward


def test_a_reference_that_is_needed_and_absent_is_refused(policy: ScoringModel, uneven: Sequence[TokenizedPair]) -> None:
    batch = collate(uneven, [0], 0)
    with pytest.raises(ValueError, match="needs a reference and none was given"):
        score_pairs(policy, None, batch, Needs(reference=True))
    with pytest.raises(ValueError, match=r"reference_logp was not measured: declare .*reference=True"):
        _ = score_pairs(policy, None, batch, Needs()).chosen.log_ratio


@pytest.mark.parametrize("reference", [None, ReferenceScores(torch.zeros(1, 2), torch.zeros(1, 2))])
def test_neighbouring_policies_need_the_reference_model_itself(
    reference: ReferenceScores | None, policy: ScoringModel, uneven: Sequence[TokenizedPair]
) -> None:
    with pytest.raises(ValueError, match="needs the reference model itself"):
        score_pairs(policy, reference, collate(uneven, [0], 0), Needs(reference=True, neighbour_step=0.01))


def one_token(chosen: Sequence[float], rejected: Sequence[float]) -> ResponseLogits:
    """One pair of one-token responses: the chosen side's label is token 0, the rejected side's token 1."""
    logits = torch.tensor([[chosen], [rejected]])
    return ResponseLogits(logits, torch.tensor([[0], [1]]), torch.ones(2, 1, dtype=torch.bool))


def step(policy: ResponseLogits, reference: ResponseLogits) -> list[float]:
    """The step of each pair at epsilon 0.1."""
    return neighbour_step(policy, reference, 0.1).tolist()


FLAT = one_token([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])


@pytest.mark.parametrize(("chosen", "rejected"), [([1.0, 0.0, 0.0], [0.0, 0.0, 0.0]), ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0])])
def test_beta_shrinks_where_the_policy_left_the_reference_for_the_better(chosen: list[float], rejected: list[float]) -> None:
    assert step(one_token(chosen, rejected), FLAT) == [1.0]


@pytest.mark.parametrize(("chosen", "rejected"), [([0.0, 1.0, 0.0], [0.0, 0.0, 0.0]), ([0.0, 0.0, 0.0], [0.0, 1.0, 0.0])])
def test_beta_grows_where_the_policy_left_the_reference_for_the_worse(chosen: list[float], rejected: list[float]) -> None:
    assert step(one_token(chosen, rejected), FLAT) == [-1.0]


@pytest.mark.parametrize("policy", [FLAT, one_token([2.0, -1.0, 0.0], [0.5, 0.25, 4.0])])
def test_beta_stays_where_the_policy_is_the_reference(policy: ResponseLogits) -> None:
    assert step(policy, policy) == [0.0]


@pytest.mark.parametrize(
    "reference",
    [one_token([0.0, -1.0, 1.0], [0.0, 0.0, 0.0]), one_token([0.0, 0.0, 0.0], [-1.0, 0.0, 1.0])],
    ids=["both separate worse", "both separate better"],
)
def test_beta_stays_where_both_neighbours_say_the_same(reference: ResponseLogits) -> None:
    # A token's log-probability is concave along the line through both policies, and its slope is zero at this one.
    assert step(FLAT, reference) == [0.0]


def test_uncounted_positions_do_not_move_beta() -> None:
    loud = torch.tensor([[[1.0, 0.0], [0.0, 50.0]], [[0.0, 0.0], [50.0, 0.0]]])
    counts = torch.tensor([[True, False], [True, False]])
    labels = torch.tensor([[0, 0], [1, 1]])
    policy, reference = ResponseLogits(loud, labels, counts), ResponseLogits(torch.zeros_like(loud), labels, counts)
    assert step(policy, reference) == [1.0]


@pytest.mark.parametrize("others", [False, True])
def test_every_pair_of_a_batch_takes_its_own_step(others: bool, policy: ScoringModel, reference: ScoringModel) -> None:
    uneven = uneven_pairs(others)
    alone = [_step_of(policy, reference, collate(uneven, [index], 0, others=others)) for index in range(5)]
    together = _step_of(policy, reference, collate(uneven, range(5), 0, others=others))
    assert together.tolist() == torch.cat(alone).tolist()
    assert set(together.tolist()) <= {-1.0, 0.0, 1.0}


def _step_of(policy: ScoringModel, reference: ScoringModel, batch: PairBatch) -> Tensor:
    found = score_pairs(policy, reference, batch, Needs(reference=True, neighbour_step=0.1)).neighbour_step
    assert found is not None
    return found

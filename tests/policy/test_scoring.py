"""Scores are what transformers gives sequence by sequence, however pairs are batched; and the neighbour step has the right sign."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.policy.head import ResponseHead, Wanted
from orchestrator.policy.loading import load_reference
from orchestrator.policy.scores import Needs
from orchestrator.policy.scoring import ReferenceScores, beta_step, reference_scores, score_pairs
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.pairs import PairBatch, TokenizedPair, collate
from tests.policy.plain import GROUPS, plain_logp, uneven_pairs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def uneven() -> list[TokenizedPair]:
    """Pairs of very different lengths."""
    return uneven_pairs()


@pytest.mark.parametrize("groups", GROUPS)
def test_scores_equal_a_plain_forward_of_each_sequence_whatever_the_grouping(
    groups: list[list[int]], policy: ScoringModel, plain_policy: Any, uneven: Sequence[TokenizedPair]
) -> None:
    for indices in groups:
        with torch.no_grad():
            scores = score_pairs(policy, None, collate(uneven, indices), Needs())
        for row, pair in enumerate(uneven[index] for index in indices):
            assert scores.chosen.logp[row].item() == pytest.approx(plain_logp(plain_policy, pair.prompt, pair.chosen), abs=1e-4)
            assert scores.rejected.logp[row].item() == pytest.approx(plain_logp(plain_policy, pair.prompt, pair.rejected), abs=1e-4)
        assert scores.chosen.length.tolist() == [len(uneven[index].chosen) for index in indices]
        assert scores.rejected.length.tolist() == [len(uneven[index].rejected) for index in indices]


def test_a_reference_with_the_policys_weights_gives_zero_log_ratios(
    sharp_model: Path, policy: ScoringModel, uneven: Sequence[TokenizedPair]
) -> None:
    reference = load_reference(str(sharp_model), torch.float32, CPU)
    batch = collate(uneven, range(5))
    for given in (reference, reference_scores(reference, batch)):
        scores = score_pairs(policy, given, batch, Needs(reference=True))
        assert scores.chosen.log_ratio.tolist() == [0.0] * 5
        assert scores.rejected.log_ratio.tolist() == [0.0] * 5


def test_only_the_policy_carries_gradients(sharp_model: Path, policy: ScoringModel, uneven: Sequence[TokenizedPair]) -> None:
    reference = load_reference(str(sharp_model), torch.float32, CPU)
    scores = score_pairs(policy, reference, collate(uneven, [0, 1]), Needs(reference=True, neighbour_step=0.01))
    assert scores.chosen.logp.requires_grad and scores.rejected.logp.requires_grad
    assert not scores.chosen.known_reference_logp.requires_grad
    assert scores.neighbour_step is not None and not scores.neighbour_step.requires_grad
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_rewards_are_measured_only_when_they_are_needed(policy: ScoringModel, uneven: Sequence[TokenizedPair]) -> None:
    batch = collate(uneven, [0, 1])
    assert score_pairs(policy, None, batch, Needs(reward=True)).chosen.known_reward.tolist() == [1.5, 1.5]
    with pytest.raises(ValueError, match=r"reward was not measured: declare .*reward=True"):
        _ = score_pairs(policy, None, batch, Needs()).chosen.known_reward


def test_a_reference_that_is_needed_and_absent_is_refused(policy: ScoringModel, uneven: Sequence[TokenizedPair]) -> None:
    batch = collate(uneven, [0])
    with pytest.raises(ValueError, match="needs a reference and none was given"):
        score_pairs(policy, None, batch, Needs(reference=True))
    with pytest.raises(ValueError, match=r"reference_logp was not measured: declare .*reference=True"):
        _ = score_pairs(policy, None, batch, Needs()).chosen.log_ratio


@pytest.mark.parametrize("reference", [None, ReferenceScores(torch.zeros(4))])
def test_neighbouring_policies_need_the_reference_model_itself(
    reference: ReferenceScores | None, policy: ScoringModel, uneven: Sequence[TokenizedPair]
) -> None:
    with pytest.raises(ValueError, match="needs the reference model itself"):
        score_pairs(policy, reference, collate(uneven, [0]), Needs(reference=True, neighbour_step=0.01))


def head() -> ResponseHead:
    """A head whose logits are the hidden states: three tokens."""
    plain = torch.nn.Linear(3, 3, bias=False)
    plain.weight.data = torch.eye(3)
    return ResponseHead(plain)


def step(policy: tuple[Sequence[float], Sequence[float]], reference: tuple[Sequence[float], Sequence[float]]) -> float:
    """The step at epsilon 0.1 of a pair of one-token responses with these logits; the chosen is token 0, the rejected token 1."""
    wanted = Wanted(torch.tensor([0, 1]), [2], neighbours=0.1, reference=(torch.tensor(reference), head()))
    found = head()(torch.tensor(policy), wanted)
    here, smaller, larger = (found[name][None, 0] - found[name][None, 1] for name in ("logp", "smaller", "larger"))
    return beta_step(here, smaller, larger).item()


ZERO = [0.0, 0.0, 0.0]
FLAT = (ZERO, ZERO)


@pytest.mark.parametrize("policy", [([1.0, 0.0, 0.0], ZERO), (ZERO, [1.0, 0.0, 0.0])])
def test_beta_shrinks_where_the_policy_left_the_reference_for_the_better(policy: tuple[list[float], list[float]]) -> None:
    assert step(policy, FLAT) == 1


@pytest.mark.parametrize("policy", [([0.0, 1.0, 0.0], ZERO), (ZERO, [0.0, 1.0, 0.0])])
def test_beta_grows_where_the_policy_left_the_reference_for_the_worse(policy: tuple[list[float], list[float]]) -> None:
    assert step(policy, FLAT) == -1


@pytest.mark.parametrize("policy", [FLAT, ([2.0, -1.0, 0.0], [0.5, 0.25, 4.0])])
def test_beta_stays_where_the_policy_is_the_reference(policy: tuple[list[float], list[float]]) -> None:
    assert step(policy, policy) == 0


@pytest.mark.parametrize(
    "reference", [([0.0, -1.0, 1.0], ZERO), (ZERO, [-1.0, 0.0, 1.0])], ids=["both separate worse", "both separate better"]
)
def test_beta_stays_where_both_neighbours_say_the_same(reference: tuple[list[float], list[float]]) -> None:
    # A token's log-probability is concave along the line through both policies, and its slope is zero at this one.
    assert step(FLAT, reference) == 0


@pytest.mark.parametrize("others", [False, True])
def test_every_pair_of_a_batch_takes_its_own_step(others: bool, policy: ScoringModel, reference: ScoringModel) -> None:
    uneven = uneven_pairs(others)
    alone = [_step_of(policy, reference, collate(uneven, [index], others=others)) for index in range(5)]
    together = _step_of(policy, reference, collate(uneven, range(5), others=others))
    assert together.tolist() == torch.cat(alone).tolist()
    assert set(together.tolist()) <= {-1.0, 0.0, 1.0}


def _step_of(policy: ScoringModel, reference: ScoringModel, batch: PairBatch) -> Tensor:
    found = score_pairs(policy, reference, batch, Needs(reference=True, neighbour_step=0.1)).neighbour_step
    assert found is not None
    return found

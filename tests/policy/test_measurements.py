"""Every measurement is what transformers gives sequence by sequence, however pairs are batched, with or without other responses."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.policy.head import ResponseHead, Wanted
from orchestrator.policy.loading import load_policy
from orchestrator.policy.reference_tables import ReferenceTable
from orchestrator.policy.scores import Needs, PairScores, ResponseScores
from orchestrator.policy.scoring import ReferenceScores, reference_scores, score_pairs
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.pairs import PairBatch, TokenizedPair, collate
from tests.policy.plain import (
    GROUPS,
    per_side,
    plain_kl,
    plain_log_collision,
    plain_logp,
    plain_model,
    plain_prefix_logps,
    uneven_pairs,
)

TABLE = ReferenceTable(torch.arange(12.0), [3, 5, 6, 10, 12], torch.arange(5.0))
ASKED_FOR = {
    "reference_logp": ("reference=True", Needs(reference=True)),
    "reward": ("reward=True", Needs(reward=True)),
    "extra_reference_logp": ("extra_references=1", Needs(extra_references=1)),
    "prefix_logp": ("prefix=True", Needs(prefix=True)),
    "reference_prefix_logp": ("reference=True, prefix=True", Needs(reference=True, prefix=True)),
    "position_kl": ("position_kl=True", Needs(position_kl=True)),
    "log_collision": ("log_collision=True", Needs(log_collision=True)),
}
Grouped = list[list[int]]


def close(found: Tensor | None, expected: Sequence[Any]) -> None:
    """Equal within the error of float32 logits."""
    assert found is not None
    torch.testing.assert_close(found.detach().double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.fixture(params=["scores computed before", "the model itself"])
def given(request: pytest.FixtureRequest) -> bool:
    """Whether the reference is given as its model."""
    return request.param == "the model itself"


def measured(
    groups: Grouped, policy: ScoringModel, reference: ScoringModel, needs: Needs, *, as_model: bool = True
) -> Iterator[tuple[list[TokenizedPair], PairScores]]:
    """The pairs and the scores of each micro-batch; scores that are computed before are those of all pairs in one table."""
    pairs = uneven_pairs(others=needs.candidates)
    table = None if as_model else table_of(reference, _collated(pairs, range(len(pairs)), needs))
    for indices in groups:
        batch = _collated(pairs, indices, needs)
        with torch.no_grad():
            known = reference if table is None else table.of(batch.indices.tolist())
            yield [pairs[index] for index in indices], score_pairs(policy, known, batch, needs)


def table_of(model: ScoringModel, batch: PairBatch) -> ReferenceTable:
    """The scores of all pairs of a batch."""
    scores = reference_scores(model, batch)
    return ReferenceTable(scores.tokens, batch.responses.ends, scores.mismatched)


def _collated(pairs: Sequence[TokenizedPair], indices: Sequence[int], needs: Needs) -> PairBatch:
    return collate(pairs, indices, others=needs.candidates, mismatched=needs.mismatched)


@pytest.mark.parametrize("others", [False, True], ids=["pairs", "with other responses"])
@pytest.mark.parametrize("groups", GROUPS)
def test_prefixes_end_where_the_shorter_response_does_under_the_policy_and_the_reference(
    groups: Grouped, others: bool, given: bool, policy: ScoringModel, reference: ScoringModel, plain_policy: Any, plain_reference: Any
) -> None:
    needs = Needs(reference=True, prefix=True, candidates=others)
    for pairs, scores in measured(groups, policy, reference, needs, as_model=given):
        ours, theirs = ([plain_prefix_logps(model, pair) for pair in pairs] for model in (plain_policy, plain_reference))
        for side, values in enumerate((scores.chosen, scores.rejected)):
            close(values.known("prefix_logp"), [both[side] for both in ours])
            close(values.known("reference_prefix_logp"), [both[side] for both in theirs])
        for name in ("prefix_logp", "reference_prefix_logp"):
            assert scores.candidates.known(name).shape == scores.is_present.shape
            assert not scores.candidates.known(name)[:, 2:].any(), "the others have no prefix"


@pytest.mark.parametrize("groups", GROUPS)
def test_the_divergence_of_every_position_is_summed_over_each_response(
    groups: Grouped, policy: ScoringModel, reference: ScoringModel, plain_policy: Any, plain_reference: Any
) -> None:
    for pairs, scores in measured(groups, policy, reference, Needs(position_kl=True, candidates=True)):
        chosen, rejected = per_side(pairs, lambda pair, text: float(plain_kl(plain_policy, plain_reference, pair.prompt, text)))
        close(scores.chosen.position_kl, chosen)
        close(scores.rejected.position_kl, rejected)
        for row, pair in enumerate(pairs):
            for place, text in enumerate(pair.others):
                assert scores.others is not None
                expected = float(plain_kl(plain_policy, plain_reference, pair.prompt, text))
                close(scores.others.known("position_kl")[row, place], expected)  # pyright: ignore[reportArgumentType]


def test_the_divergence_has_the_gradient_of_its_brute_force_and_the_reference_none(
    sharp_model: Path, reference: ScoringModel, plain_reference: Any
) -> None:
    policy, plain, pairs = load_policy(str(sharp_model), torch.float32).eval(), plain_model(sharp_model), uneven_pairs()
    scores = score_pairs(policy, reference, collate(pairs, range(5)), Needs(position_kl=True))
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0])
    (weights * scores.chosen.known("position_kl") - scores.rejected.known("position_kl")).sum().backward()
    for weight, pair in zip(weights.tolist(), pairs, strict=True):
        chosen, rejected = (plain_kl(plain, plain_reference, pair.prompt, text) for text in (pair.chosen, pair.rejected))
        (weight * chosen - rejected).backward()
    for ours, expected in zip(policy.model.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None and expected.grad is not None
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-3, atol=1e-4 * float(expected.grad.abs().max()))
    assert all(parameter.grad is None for parameter in reference.parameters())


def test_a_policy_does_not_diverge_from_itself(reference: ScoringModel) -> None:
    scores = score_pairs(reference, reference, collate(uneven_pairs(), range(5)), Needs(position_kl=True))
    assert scores.chosen.known("position_kl").tolist() == scores.rejected.known("position_kl").tolist() == [0.0] * 5


@pytest.mark.parametrize("groups", GROUPS)
def test_the_chance_that_two_draws_agree_is_summed_over_each_response_without_gradient(
    groups: Grouped, policy: ScoringModel, plain_policy: Any
) -> None:
    pairs = uneven_pairs()
    for indices in groups:
        scores = score_pairs(policy, None, collate(pairs, indices), Needs(log_collision=True))
        selected = [pairs[index] for index in indices]
        chosen, rejected = per_side(selected, lambda pair, text: plain_log_collision(plain_policy, pair.prompt, text))
        close(scores.chosen.log_collision, chosen)
        close(scores.rejected.log_collision, rejected)
        assert not scores.chosen.known("log_collision").requires_grad


@pytest.mark.parametrize("groups", GROUPS)
def test_other_responses_are_scored_beside_the_pair_and_absent_ones_are_said_to_be_absent(
    groups: Grouped, given: bool, policy: ScoringModel, reference: ScoringModel, plain_policy: Any, plain_reference: Any
) -> None:
    needs = Needs(reference=True, reward=True, candidates=True)
    for pairs, scores in measured(groups, policy, reference, needs, as_model=given):
        most = max(len(pair.others) for pair in pairs)
        assert scores.is_present.tolist() == [[True, True, *(place < len(pair.others) for place in range(most))] for pair in pairs]
        if scores.others is None:
            assert most == 0
            continue
        filled = [[*pair.others, *((),) * (most - len(pair.others))] for pair in pairs]
        assert scores.others.length.tolist() == [[len(text) for text in texts] for texts in filled]
        for model, found in ((plain_policy, scores.others.logp), (plain_reference, scores.others.known_reference_logp)):
            close(found, [[plain_logp(model, pair.prompt, text) for text in texts] for pair, texts in zip(pairs, filled, strict=True)])
        close(scores.others.known_reward, [[*pair.other_rewards, *(0.0,) * (most - len(pair.others))] for pair in pairs])


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("groups", GROUPS)
def test_a_pair_is_scored_the_same_beside_other_and_mismatched_responses(
    groups: Grouped, others: bool, given: bool, policy: ScoringModel, reference: ScoringModel, plain_policy: Any, plain_reference: Any
) -> None:
    needs = Needs(reference=True, reward=True, candidates=others, mismatched=True)
    for pairs, scores in measured(groups, policy, reference, needs, as_model=given):
        for side, name, reward in ((scores.chosen, "chosen", 1.5), (scores.rejected, "rejected", 0.5)):
            texts = [getattr(pair, name) for pair in pairs]
            assert side.length.tolist() == [len(text) for text in texts]
            assert side.known_reward.tolist() == [reward] * len(pairs)
            close(side.logp, [plain_logp(plain_policy, pair.prompt, text) for pair, text in zip(pairs, texts, strict=True)])
            expected = [plain_logp(plain_reference, pair.prompt, text) for pair, text in zip(pairs, texts, strict=True)]
            close(side.reference_logp, expected)


@pytest.mark.parametrize("groups", GROUPS)
def test_mismatched_responses_are_scored_after_the_pairs_own_prompt(
    groups: Grouped, given: bool, policy: ScoringModel, reference: ScoringModel, plain_policy: Any, plain_reference: Any
) -> None:
    for pairs, scores in measured(groups, policy, reference, Needs(reference=True, mismatched=True), as_model=given):
        assert scores.mismatched is not None
        assert scores.mismatched.length.tolist() == [len(pair.mismatched) for pair in pairs]
        close(scores.mismatched.logp, [plain_logp(plain_policy, pair.prompt, pair.mismatched) for pair in pairs])
        close(scores.mismatched.reference_logp, [plain_logp(plain_reference, pair.prompt, pair.mismatched) for pair in pairs])


def test_mismatched_responses_carry_no_gradient_and_are_scored_without_a_reference_too(policy: ScoringModel) -> None:
    batch = collate(uneven_pairs(), [1, 3], mismatched=True)
    scores = score_pairs(policy, None, batch, Needs(mismatched=True))
    assert scores.mismatched is not None and scores.mismatched.reference_logp is None
    assert not scores.mismatched.logp.requires_grad
    assert scores.chosen.logp.requires_grad
    assert score_pairs(policy, None, batch, Needs()).mismatched is None


@pytest.mark.parametrize("groups", GROUPS)
def test_further_references_are_the_last_dimension_in_the_order_given(
    groups: Grouped, policy: ScoringModel, reference: ScoringModel, plain_policy: Any, plain_reference: Any
) -> None:
    pairs, plain = uneven_pairs(others=True), (plain_reference, plain_policy)
    whole = collate(pairs, range(5), others=True)
    tables = [table_of(model, whole) for model in (reference, policy)]
    for indices in groups:
        batch = collate(pairs, indices, others=True)
        extra = [table.of(batch.indices.tolist()) for table in tables]
        scores = score_pairs(policy, None, batch, Needs(extra_references=2), extra)
        selected = [pairs[index] for index in indices]
        for side, name in ((scores.chosen, "chosen"), (scores.rejected, "rejected")):
            expected = [[plain_logp(model, pair.prompt, getattr(pair, name)) for model in plain] for pair in selected]
            close(side.extra_reference_logp, expected)
        assert scores.candidates.known("extra_reference_logp").shape == (*scores.is_present.shape, 2)
        for row, pair in enumerate(selected):
            for place, text in enumerate(pair.others, 2):
                expected = [plain_logp(model, pair.prompt, text) for model in plain]
                close(scores.candidates.known("extra_reference_logp")[row, place], expected)


def test_what_was_not_asked_for_is_not_measured(policy: ScoringModel, reference: ScoringModel) -> None:
    scores = score_pairs(policy, reference, collate(uneven_pairs(), [0, 1]), Needs(reference=True))
    absent = [scores.chosen.reward, scores.chosen.prefix_logp, scores.chosen.reference_prefix_logp, scores.chosen.position_kl]
    assert [*absent, scores.chosen.log_collision, scores.chosen.extra_reference_logp, scores.neighbour_step] == [None] * 7
    assert (scores.others, scores.mismatched) == (None, None)


@pytest.mark.parametrize("name", [item.name for item in fields(ResponseScores) if item.name not in {"logp", "length", "value"}])
def test_a_measurement_that_was_not_taken_names_the_needs_that_take_it(name: str, policy: ScoringModel, reference: ScoringModel) -> None:
    batch = collate(uneven_pairs(), [0, 1])
    arguments, needs = ASKED_FOR[name]
    with pytest.raises(ValueError, match=f"^{name} was not measured: declare `needs = Needs\\({arguments}\\)`$"):
        score_pairs(policy, None, batch, Needs()).chosen.known(name)
    scores = score_pairs(policy, reference, batch, needs, [reference_scores(reference, batch)])
    assert len(scores.chosen.known(name)) == len(scores.rejected.known(name)) == 2


def test_values_are_not_asked_of_a_language_model(policy: ScoringModel) -> None:
    batch = collate(uneven_pairs(), [0, 1])
    with pytest.raises(ValueError, match=r"^value was not measured: declare `needs = Needs\(value=True\)`$"):
        _ = score_pairs(policy, None, batch, Needs()).chosen.known_value
    with pytest.raises(ValueError, match="values, which only a reward model measures"):
        score_pairs(policy, None, batch, Needs(value=True))


def test_a_tables_scores_of_some_pairs_are_their_tokens_in_their_order() -> None:
    some = TABLE.of([4, 0])
    assert some.tokens.tolist() == [10, 11, 0, 1, 2]
    assert some.mismatched is not None and some.mismatched.tolist() == [4, 0]
    assert replace(TABLE, mismatched=None).of([1]).mismatched is None
    assert {value.device.type for value in vars(some.to(torch.device("meta"))).values()} == {"meta"}


@pytest.mark.parametrize("reference", [None, TABLE.of([0])], ids=["nothing", "scores only"])
@pytest.mark.parametrize("needs", [Needs(position_kl=True), Needs(neighbour_step=0.01)])
def test_what_compares_logits_is_refused_without_the_reference_model(
    needs: Needs, reference: ReferenceScores | None, policy: ScoringModel
) -> None:
    with pytest.raises(ValueError, match="needs the reference model itself, not its log-probabilities"):
        score_pairs(policy, reference, collate(uneven_pairs(), [0]), needs)


@pytest.mark.parametrize(("given_count", "needed"), [(0, 1), (1, 2)])
def test_too_few_further_references_are_refused_with_both_counts(given_count: int, needed: int, policy: ScoringModel) -> None:
    extra = [TABLE.of([0])] * given_count
    with pytest.raises(ValueError, match=f"needs {needed} further references and {given_count} were given"):
        score_pairs(policy, None, collate(uneven_pairs(), [0]), Needs(extra_references=needed), extra)


def test_mismatched_responses_that_were_not_collated_are_refused_with_the_cure(policy: ScoringModel) -> None:
    with pytest.raises(ValueError, match="collate with mismatched=True"):
        score_pairs(policy, None, collate(uneven_pairs(), [0]), Needs(mismatched=True))


def test_logits_of_half_precision_are_measured_in_single_precision() -> None:
    head = ResponseHead(torch.nn.Linear(7, 9, bias=False).bfloat16())
    states = torch.randn(3, 7, generator=torch.Generator().manual_seed(0)).bfloat16()
    wanted = Wanted(torch.tensor([0, 1, 2]), [3], 0.1, divergence=True, collision=True, reference=(-states, head))
    found, expected = head(states, wanted), head(states, Wanted(torch.tensor([0, 1, 2]), [3]))["logp"]
    assert {value.dtype for value in found.values()} == {torch.float32}
    logits = (states @ head.weight.T).float()
    assert torch.equal(expected, logits.gather(1, torch.tensor([[0], [1], [2]])).squeeze(1) - logits.logsumexp(-1))
    assert torch.equal(found["logp"], expected)

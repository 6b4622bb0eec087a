"""Needs add up, pairs and candidates are two views of the same scores, and scores of several micro-batches become one."""

from dataclasses import fields, replace

import pytest
import torch

from orchestrator.policy.scores import Needs, PairScores, ResponseScores, join_pairs, map_tensors, policy_measurements

OPTIONAL = [item.name for item in fields(ResponseScores) if item.name not in {"logp", "length"}]


def responses(*shape: int, seed: int = 0) -> ResponseScores:
    """Every measurement, of this shape; two further references."""
    chance = torch.Generator().manual_seed(seed)
    values = {name: -torch.rand(shape, generator=chance) for name in ("logp", *OPTIONAL)}
    values["extra_reference_logp"] = -torch.rand((*shape, 2), generator=chance)
    return ResponseScores(length=torch.randint(1, 9, shape, generator=chance), **values)


def pairs(count: int, others: int = 0, seed: int = 0) -> PairScores:
    """Pairs with every measurement, and other responses if there are to be any."""
    steps = torch.tensor([1.0, -1.0, 0.0]).repeat(count)[:count]
    further = responses(count, others, seed=seed + 2) if others else None
    return PairScores(responses(count, seed=seed), responses(count, seed=seed + 1), steps, further, responses(count, seed=seed + 3))


def same(found: ResponseScores | PairScores | None, expected: ResponseScores | PairScores | None) -> None:
    """Equal in every tensor, and absent where the other is."""
    assert type(found) is type(expected)
    for item in fields(found) if found is not None else ():
        one, other = getattr(found, item.name), getattr(expected, item.name)
        if isinstance(one, torch.Tensor):
            assert other is not None and one.dtype == other.dtype and torch.equal(one, other), item.name
        else:
            same(one, other)


def test_two_objectives_together_need_what_either_needs() -> None:
    one, other = Needs(reference=True, prefix=True), Needs(reward=True, whole_batch=True, candidates=True)
    both = Needs(reference=True, prefix=True, reward=True, whole_batch=True, candidates=True)
    assert one | other == other | one == both
    assert one | Needs() == Needs() | one == one


@pytest.mark.parametrize("name", [item.name for item in fields(Needs) if item.default is False])
def test_no_need_is_lost_when_two_objectives_are_joined(name: str) -> None:
    asked = Needs(**{name: True})
    assert asked | Needs() == Needs() | asked == asked | asked == asked


def test_the_step_of_the_one_that_has_a_neighbour_stays_and_the_larger_number_of_references_counts() -> None:
    one, other = Needs(neighbour_step=0.01, extra_references=1), Needs(extra_references=3)
    assert one | other == other | one == Needs(neighbour_step=0.01, extra_references=3)


@pytest.mark.parametrize(
    ("needs", "logits"),
    [(Needs(neighbour_step=0.01), True), (Needs(position_kl=True), True), (Needs(reference=True, prefix=True, mismatched=True), False)],
)
def test_the_reference_model_runs_at_every_step_only_where_logits_are_compared(needs: Needs, logits: bool) -> None:
    assert needs.reference_logits is logits


def test_means_and_log_ratios_are_per_token_and_an_empty_response_has_none() -> None:
    scores = ResponseScores(torch.tensor([-6.0, 0.0]), torch.tensor([3, 0]), torch.tensor([-9.0, 0.0]))
    assert scores.mean_logp.tolist() == [-2.0, 0.0]
    assert scores.log_ratio.tolist() == [3.0, 0.0]
    assert scores.mean_log_ratio.tolist() == [1.0, 0.0]


def test_the_candidates_are_the_chosen_the_rejected_and_the_others() -> None:
    scores = pairs(3, others=2)
    assert scores.others is not None
    found = scores.candidates
    assert found.logp.shape == found.length.shape == (3, 4)
    assert found.known("extra_reference_logp").shape == (3, 4, 2)
    for column, side in enumerate((scores.chosen, scores.rejected)):
        same(map_tensors(lambda values, column=column: values[:, column], found), side)
    same(map_tensors(lambda values: values[:, 2:], found), scores.others)


@pytest.mark.parametrize("others", [0, 1, 3])
def test_candidates_become_the_same_pairs_again(others: int) -> None:
    scores = replace(pairs(3, others), neighbour_step=None, mismatched=None)
    same(PairScores.of_candidates(scores.candidates), scores)
    candidates = responses(3, 2 + others)
    same(PairScores.of_candidates(candidates).candidates, candidates)


def test_an_other_response_of_no_tokens_is_absent_and_the_pair_never_is() -> None:
    scores = pairs(2, others=2)
    assert scores.others is not None
    others = replace(scores.others, length=torch.tensor([[4, 0], [0, 0]]))
    scores = replace(scores, chosen=replace(scores.chosen, length=torch.tensor([0, 5])), others=others)
    assert scores.is_present.tolist() == [[True, True, True, False], [True, True, False, False]]
    assert replace(scores, others=None).is_present.tolist() == [[True, True]] * 2


def test_a_function_is_applied_to_every_tensor_and_to_the_same_place_of_all_parts() -> None:
    one, other = pairs(2, others=1), pairs(2, others=1, seed=7)
    total = map_tensors(lambda left, right: left + right, one, other)
    same(map_tensors(lambda left, right: left - right, one, one), map_tensors(torch.zeros_like, one))
    assert total.others is not None and one.others is not None and other.others is not None
    assert torch.equal(total.others.known_reward, one.others.known_reward + other.others.known_reward)
    assert total.neighbour_step is not None and total.neighbour_step.tolist() == [2.0, -2.0]


def test_what_one_part_lacks_the_result_lacks_whichever_part_it_is() -> None:
    whole = pairs(2, others=1)
    without = replace(whole, others=None, chosen=replace(whole.chosen, reward=None))
    for parts in ((whole, without), (without, whole)):
        same(map_tensors(lambda left, right: left, *parts), without)


def test_joined_pairs_are_those_of_all_parts_in_order() -> None:
    whole = pairs(5, others=2)
    parts = [map_tensors(lambda values, where=where: values[where], whole) for where in (slice(0, 2), slice(2, 3), slice(3, 5))]
    same(join_pairs(parts), whole)
    same(join_pairs(parts[:1]), parts[0])
    assert join_pairs([replace(part, others=None) for part in parts]).others is None


def test_parts_with_fewer_other_responses_get_absent_ones() -> None:
    parts = [pairs(1, others=2), pairs(2, others=0, seed=7), pairs(1, others=1, seed=14)]
    joined = join_pairs(parts)
    assert joined.others is not None and parts[0].others is not None and parts[2].others is not None
    assert joined.is_present.tolist() == [[True] * 4, *[[True, True, False, False]] * 2, [True, True, True, False]]
    assert joined.others.known("extra_reference_logp").shape == (4, 2, 2)
    same(map_tensors(lambda values: values[:1], joined.others), parts[0].others)
    same(map_tensors(lambda values: values[3:, :1], joined.others), parts[2].others)
    absent = map_tensors(lambda values: values[1:3], joined.others)
    same(absent, map_tensors(torch.zeros_like, absent))
    same(replace(joined, others=None), join_pairs([replace(part, others=None) for part in parts]))


def test_the_policys_measurements_are_the_four_that_have_gradients_of_the_sides_there_are() -> None:
    names = {"logp", "prefix_logp", "position_kl", "value"}
    scores = pairs(2, others=1)
    assert scores.others is not None
    found = policy_measurements(scores)
    assert set(found) == {(side, name) for side in ("chosen", "rejected", "others") for name in names}
    assert found["others", "prefix_logp"] is scores.others.prefix_logp
    bare = replace(scores, others=None, rejected=replace(scores.rejected, prefix_logp=None))
    assert set(policy_measurements(bare)) == {
        *(("chosen", name) for name in names),
        *(("rejected", name) for name in ("logp", "position_kl", "value")),
    }

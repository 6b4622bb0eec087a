"""Further responses and mismatched ones: tokenised and cut like a pair's own, and put beside the pair in the batch."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evals.prompts import Message
from orchestrator.preferences.packing import PackedResponses
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse, TokenizedPair, collate
from orchestrator.preferences.tokenization import prompt_ids, tokenize

PAIRS = (
    TokenizedPair((1, 2), (3, 4), (6,), 2.0, 1.0, ((5, 5, 5), (8,)), (1.75, 1.5), mismatched=(2,)),
    TokenizedPair((1,), (2,), (3, 4), mismatched=(5, 6, 7, 8, 4, 3)),
    TokenizedPair((7, 7), (5,), (6, 6), 0.0, 0.5, ((4,),), (0.25,), mismatched=(3, 4)),
)
WIDE = 64
LONG = "fox " * 20


def shown(packed: PackedResponses | None) -> list[list[int]]:
    """Every prompt and every response, as they lie."""
    assert packed is not None
    parts = [length for unit in packed.units for length in (unit.prompt, *unit.responses)]
    return [part.tolist() for part in packed.tokens.split(parts)]


def asked(texts: Sequence[str], prompt: str = "say fox", others: Sequence[str] = ()) -> PreferencePair:
    """A pair whose others have rewards 0, 1, 2, ..."""
    further = tuple(ScoredResponse(text, float(number)) for number, text in enumerate(others))
    return PreferencePair((Message("user", prompt),), texts[0], texts[1], 9.0, -1.0, others=further)


def whole(tokenizer: Any, text: str) -> tuple[int, ...]:
    """A response's tokens with its end."""
    return (*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id)


def test_others_follow_the_pair_and_absent_ones_have_no_token() -> None:
    batch = collate(PAIRS, [0, 1, 2], others=True)
    first, second, third = [[1, 2], [3, 4], [6], [5, 5, 5], [8]], [[1], [2], [3, 4], [], []], [[7, 7], [5], [6, 6], [4], []]
    assert shown(batch.responses) == [*first, *second, *third]
    assert batch.responses.lengths.tolist() == [[2, 1, 3, 1], [1, 2, 0, 0], [1, 2, 1, 0]]


def test_rewards_of_others_are_beside_the_pairs_and_zero_where_there_is_none() -> None:
    rewards = collate(PAIRS, [2, 0, 1], others=True).rewards
    assert rewards.dtype == torch.float32
    assert rewards[:, 2:].tolist() == [[0.25, 0.0], [1.75, 1.5], [0.0, 0.0]]
    assert rewards[:2, :2].tolist() == [[0.0, 0.5], [2.0, 1.0]]


def test_there_are_as_many_others_as_the_pair_of_this_batch_that_has_most() -> None:
    batch = collate(PAIRS, [2, 1], others=True)
    assert batch.responses.lengths.tolist() == [[1, 2, 1], [1, 2, 0]]
    assert batch.rewards.shape == (2, 3)


@pytest.mark.parametrize(("indices", "others"), [([0, 2], False), ([1], True)])
def test_without_others_to_give_or_unasked_there_are_none(indices: list[int], others: bool) -> None:
    batch = collate(PAIRS, indices, others=others)
    assert batch.responses.lengths.shape == batch.rewards.shape == (len(indices), 2)
    assert batch.mismatched is None


def test_the_mismatched_response_follows_the_pairs_own_prompt_only_where_it_is_asked_for() -> None:
    assert shown(collate(PAIRS, [1, 0], mismatched=True).mismatched) == [[1], [5, 6, 7, 8, 4, 3], [1, 2], [2]]
    assert collate(PAIRS, [1, 0], others=True).mismatched is None


def test_unshared_responses_stand_behind_copies_of_their_prompts_and_mean_the_same() -> None:
    packed = collate(PAIRS, [0, 1], others=True).responses
    apart = packed.unshared()
    assert shown(apart) == [[1, 2], [3, 4], [1, 2], [6], [1, 2], [5, 5, 5], [1, 2], [8], [1], [2], [1], [3, 4]]
    assert apart.positions.tolist() == [position for length in (4, 3, 5, 3, 2, 3) for position in range(length)]
    assert (apart.tokens[apart.predicting + 1] == apart.labels).all()
    for name in ("labels", "response", "lengths"):
        assert torch.equal(getattr(apart, name), getattr(packed, name))


def test_moving_a_batch_moves_its_mismatched_responses_too() -> None:
    moved = collate(PAIRS, [0, 1], others=True, mismatched=True).to(torch.device("meta"))
    assert moved.mismatched is not None
    tensors = [value for value in vars(moved.mismatched).values() if isinstance(value, torch.Tensor)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_pair_gets_a_response_of_the_pair_after_it_chosen_and_rejected_in_turn(count: int, tokenizer: Any) -> None:
    made = tokenize(tokenizer, [asked((f"good {number}", f"bad {number}")) for number in range(count)], WIDE).pairs
    expected = [f"{'bad' if number % 2 else 'good'} {(number + 1) % count}" for number in range(count)]
    assert [pair.mismatched for pair in made] == [whole(tokenizer, text) for text in expected]


def test_the_pair_after_is_the_next_that_can_be_trained_on(tokenizer: Any) -> None:
    made = tokenize(tokenizer, [asked(("a", "b")), asked(("same", "same")), asked(("c", "d"))], WIDE).pairs
    assert [pair.mismatched for pair in made] == [whole(tokenizer, "c"), whole(tokenizer, "b")]


def test_a_mismatched_response_is_cut_to_the_room_that_this_pairs_prompt_leaves(tokenizer: Any) -> None:
    room = len(prompt_ids(tokenizer, (Message("user", "say fox"),))) + 4
    little, more = asked((LONG, "dog")), asked((LONG, "dog"), prompt="x")
    first, second = tokenize(tokenizer, [little, more], room).pairs
    assert len(second.chosen) > 4
    assert first.mismatched == whole(tokenizer, LONG)[:4]
    assert second.mismatched == whole(tokenizer, "dog")


def test_others_are_tokenised_like_the_pair_in_their_order_and_keep_their_rewards(tokenizer: Any) -> None:
    first, second = tokenize(tokenizer, [asked(("fox", "dog"), others=("quick fox", "", "lazy dog")), asked(("fox", "dog"))], WIDE).pairs
    assert first.others == tuple(whole(tokenizer, text) for text in ("quick fox", "", "lazy dog"))
    assert first.other_rewards == (0.0, 1.0, 2.0)
    assert (first.chosen_reward, first.rejected_reward) == (9.0, -1.0)
    assert (second.others, second.other_rewards) == ((), ())


def test_others_are_cut_at_their_end_to_the_room_the_prompt_leaves(tokenizer: Any) -> None:
    prompt = prompt_ids(tokenizer, (Message("user", "say fox"),))
    (made,) = tokenize(tokenizer, [asked(("fox", "dog"), others=(LONG, "dog"))], len(prompt) + 5).pairs
    assert made.others == (whole(tokenizer, LONG)[:5], whole(tokenizer, "dog"))
    assert made.other_rewards == (0.0, 1.0)

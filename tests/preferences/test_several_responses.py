"""Further responses and mismatched ones: tokenised and cut like a pair's own, and put beside the pair in the batch."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evals.prompts import Message
from orchestrator.preferences.pairs import PreferencePair, ResponseBatch, ScoredResponse, TokenizedPair, collate
from orchestrator.preferences.tokenization import Lengths, prompt_ids, tokenize

PAD = 9
PAIRS = (
    TokenizedPair((1, 2), (3, 4), (6,), 2.0, 1.0, ((5, 5, 5), (8,)), (1.75, 1.5), mismatched=(2,)),
    TokenizedPair((1,), (2,), (3, 4), mismatched=(5, 6, 7, 8, 4, 3)),
    TokenizedPair((7, 7), (5,), (6, 6), 0.0, 0.5, ((4,),), (0.25,), mismatched=(3, 4)),
)
WIDE = Lengths(context=64)
LONG = "fox " * 20


def shown(side: ResponseBatch | None) -> list[list[int]]:
    """The tokens of each row, without padding."""
    assert side is not None
    return [tokens[is_token].tolist() for tokens, is_token in zip(side.tokens, side.is_token, strict=True)]


def responses(side: ResponseBatch | None) -> list[list[int]]:
    """The response tokens of each row."""
    assert side is not None
    return [tokens[is_response].tolist() for tokens, is_response in zip(side.tokens, side.is_response, strict=True)]


def asked(texts: Sequence[str], prompt: str = "say fox", others: Sequence[str] = ()) -> PreferencePair:
    """A pair whose others have rewards 0, 1, 2, ..."""
    further = tuple(ScoredResponse(text, float(number)) for number, text in enumerate(others))
    return PreferencePair((Message("user", prompt),), texts[0], texts[1], 9.0, -1.0, others=further)


def whole(tokenizer: Any, text: str) -> tuple[int, ...]:
    """A response's tokens with its end."""
    return (*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id)


def test_others_follow_pair_by_pair_and_absent_ones_keep_the_prompt_and_have_no_response() -> None:
    batch = collate(PAIRS, [0, 1, 2], PAD, others=True)
    assert shown(batch.others) == [[1, 2, 5, 5, 5], [1, 2, 8], [1], [1], [7, 7, 4], [7, 7]]
    assert responses(batch.others) == [[5, 5, 5], [8], [], [], [4], []]


def test_rewards_of_others_are_a_row_for_each_pair_and_zero_where_there_is_none() -> None:
    batch = collate(PAIRS, [2, 0, 1], PAD, others=True)
    assert batch.other_rewards is not None and batch.other_rewards.dtype == torch.float32
    assert batch.other_rewards.tolist() == [[0.25, 0.0], [1.75, 1.5], [0.0, 0.0]]


def test_there_are_as_many_others_as_the_pair_of_this_batch_that_has_most() -> None:
    batch = collate(PAIRS, [2, 1], PAD, others=True)
    assert shown(batch.others) == [[7, 7, 4], [1]]
    assert batch.other_rewards is not None and batch.other_rewards.shape == (2, 1)


@pytest.mark.parametrize(("indices", "others"), [([0, 2], False), ([1], True)])
def test_without_others_to_give_or_unasked_there_are_none(indices: list[int], others: bool) -> None:
    batch = collate(PAIRS, indices, PAD, others=others)
    assert (batch.others, batch.other_rewards, batch.mismatched) == (None, None, None)
    assert len(batch.rows().tokens) == 2 * len(indices)


def test_the_mismatched_response_follows_the_pairs_own_prompt_only_where_it_is_asked_for() -> None:
    batch = collate(PAIRS, [1, 0], PAD, mismatched=True)
    assert shown(batch.mismatched) == [[1, 5, 6, 7, 8, 4, 3], [1, 2, 2]]
    assert responses(batch.mismatched) == [[5, 6, 7, 8, 4, 3], [2]]
    assert collate(PAIRS, [1, 0], PAD, others=True).mismatched is None


@pytest.mark.parametrize(("others", "mismatched", "length"), [(False, False, 4), (True, False, 5), (False, True, 7), (True, True, 7)])
def test_all_sides_are_padded_on_the_right_to_the_longest_sequence_that_is_asked_for(others: bool, mismatched: bool, length: int) -> None:
    batch = collate(PAIRS, [0, 1, 2], PAD, others, mismatched)
    for side in (batch.chosen, batch.rejected, batch.others, batch.mismatched):
        if side is not None:
            assert side.tokens.shape == side.is_token.shape == side.is_response.shape == (len(side.tokens), length)
            assert side.tokens[~side.is_token].tolist() == [PAD] * int((~side.is_token).sum())
            assert not (side.is_response & ~side.is_token).any()
            assert (side.is_token.int().diff(dim=1) <= 0).all()
    assert responses(batch.chosen) == [[3, 4], [2], [5]]


def test_the_rows_are_all_chosen_then_all_rejected_then_the_others_and_no_mismatched() -> None:
    batch = collate(PAIRS, [0, 2], PAD, others=True, mismatched=True)
    rows = batch.rows()
    assert shown(rows) == [[1, 2, 3, 4], [7, 7, 5], [1, 2, 6], [7, 7, 6, 6], [1, 2, 5, 5, 5], [1, 2, 8], [7, 7, 4], [7, 7]]
    assert responses(rows) == [[3, 4], [5], [6], [6, 6], [5, 5, 5], [8], [4], []]


def test_moving_a_batch_moves_its_others_and_mismatched_too() -> None:
    moved = collate(PAIRS, [0, 1], PAD, others=True, mismatched=True).to(torch.device("meta"))
    assert moved.others is not None and moved.mismatched is not None and moved.other_rewards is not None
    sides = (moved.chosen, moved.rejected, moved.others, moved.mismatched)
    tensors = [moved.indices, moved.chosen_reward, moved.other_rewards, *(value for side in sides for value in vars(side).values())]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    bare = collate(PAIRS, [0, 1], PAD).to(torch.device("meta"))
    assert (bare.others, bare.other_rewards, bare.mismatched) == (None, None, None)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_pair_gets_a_response_of_the_pair_after_it_chosen_and_rejected_in_turn(count: int, tokenizer: Any) -> None:
    made = tokenize(tokenizer, [asked((f"good {number}", f"bad {number}")) for number in range(count)], WIDE).pairs
    expected = [f"{'bad' if number % 2 else 'good'} {(number + 1) % count}" for number in range(count)]
    assert [pair.mismatched for pair in made] == [whole(tokenizer, text) for text in expected]


def test_the_pair_after_is_the_next_that_can_be_trained_on(tokenizer: Any) -> None:
    made = tokenize(tokenizer, [asked(("a", "b")), asked(("same", "same")), asked(("c", "d"))], WIDE).pairs
    assert [pair.mismatched for pair in made] == [whole(tokenizer, "c"), whole(tokenizer, "b")]


def test_a_mismatched_response_is_cut_to_the_room_that_this_pairs_prompt_leaves(tokenizer: Any) -> None:
    room = Lengths(context=len(prompt_ids(tokenizer, (Message("user", "say fox"),))) + 4)
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
    (made,) = tokenize(tokenizer, [asked(("fox", "dog"), others=(LONG, "dog"))], Lengths(len(prompt) + 5)).pairs
    assert made.others == (whole(tokenizer, LONG)[:5], whole(tokenizer, "dog"))
    assert made.other_rewards == (0.0, 1.0)

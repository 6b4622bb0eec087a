"""Pairs become tensors: two sides of one length, masks that say what is what, and rewards that are NaN where unknown."""

import torch

from orchestrator.preferences.pairs import TokenizedPair, collate

PAD = 9
PAIRS = (
    TokenizedPair((1, 2), (3, 4, 5), (6,), 2.0, 1.0),
    TokenizedPair((1,), (2,), (3, 4)),
    TokenizedPair((7, 7, 7, 7), (5,), (6, 6), 0.0, 0.5),
)


def test_sides_are_padded_on_the_right_to_the_longest_sequence_of_either() -> None:
    batch = collate(PAIRS, [0, 1], PAD)
    assert batch.chosen.tokens.tolist() == [[1, 2, 3, 4, 5], [1, 2, PAD, PAD, PAD]]
    assert batch.rejected.tokens.tolist() == [[1, 2, 6, PAD, PAD], [1, 3, 4, PAD, PAD]]


def test_masks_tell_tokens_from_padding_and_responses_from_prompts() -> None:
    batch = collate(PAIRS, [0, 1], PAD)
    assert batch.chosen.is_token.int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch.chosen.is_response.int().tolist() == [[0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]
    assert batch.rejected.is_token.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert batch.rejected.is_response.int().tolist() == [[0, 0, 1, 0, 0], [0, 1, 1, 0, 0]]


def test_a_padding_token_inside_a_response_still_counts() -> None:
    batch = collate([TokenizedPair((1,), (PAD, 2), (3,))], [0], PAD)
    assert batch.chosen.is_response.int().tolist() == [[0, 1, 1]]


def test_a_batch_takes_the_pairs_at_its_indices_in_their_order() -> None:
    batch = collate(PAIRS, [2, 0], PAD)
    assert batch.indices.tolist() == [2, 0]
    assert len(batch) == 2
    assert batch.chosen.tokens[:, 0].tolist() == [7, 1]
    assert batch.chosen_reward.tolist() == [0.0, 2.0]
    assert batch.rejected_reward.tolist() == [0.5, 1.0]


def test_rewards_are_nan_where_the_data_has_none_and_zero_where_it_says_zero() -> None:
    batch = collate(PAIRS, [0, 1, 2], PAD)
    assert batch.chosen_reward.isnan().tolist() == [False, True, False]
    assert batch.rejected_reward.isnan().tolist() == [False, True, False]


def test_moving_a_batch_moves_every_tensor() -> None:
    moved = collate(PAIRS, [0, 1], PAD).to(torch.device("meta"))
    sides = [tensor for side in (moved.chosen, moved.rejected) for tensor in (side.tokens, side.is_token, side.is_response)]
    assert {tensor.device.type for tensor in [*sides, moved.indices, moved.chosen_reward, moved.rejected_reward]} == {"meta"}

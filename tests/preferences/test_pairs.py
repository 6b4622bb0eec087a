"""Pairs become one sequence: prompts once, responses behind them, rewards that are NaN where unknown."""

import torch

from orchestrator.preferences.pairs import TokenizedPair, collate, tokens_of

PAIRS = (
    TokenizedPair((1, 2), (3, 4, 5), (6,), 2.0, 1.0),
    TokenizedPair((1,), (2,), (3, 4)),
    TokenizedPair((7, 7, 7, 7), (5,), (6, 6), 0.0, 0.5),
)


def test_a_prompt_is_followed_by_its_responses_and_each_begins_where_the_prompt_ends() -> None:
    responses = collate(PAIRS, [0, 1]).responses
    assert responses.tokens.tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
    assert responses.positions.tolist() == [0, 1, 2, 3, 4, 2, 0, 1, 1, 2]
    assert responses.lengths.tolist() == [[3, 1], [1, 2]]


def test_each_response_token_knows_its_label_who_predicts_it_and_whose_it_is() -> None:
    responses = collate(PAIRS, [0, 1]).responses
    assert responses.labels.tolist() == [3, 4, 5, 6, 2, 3, 4]
    assert responses.predicting.tolist() == [1, 2, 3, 1, 6, 6, 8]
    assert responses.response.tolist() == [0, 0, 0, 1, 2, 3, 3]
    assert responses.ordinal.tolist() == [0, 1, 2, 0, 0, 0, 1]
    assert responses.ends == [4, 7]


def test_a_batch_takes_the_pairs_at_its_indices_in_their_order() -> None:
    batch = collate(PAIRS, [2, 0])
    assert batch.indices.tolist() == [2, 0]
    assert len(batch) == 2
    assert batch.responses.tokens[:4].tolist() == [7, 7, 7, 7]
    assert batch.rewards.tolist() == [[0.0, 0.5], [2.0, 1.0]]


def test_rewards_are_nan_where_the_data_has_none_and_zero_where_it_says_zero() -> None:
    assert collate(PAIRS, [0, 1, 2]).rewards.isnan().tolist() == [[False, False], [True, True], [False, False]]


def test_moving_a_batch_moves_every_tensor() -> None:
    moved = collate(PAIRS, [0, 1]).to(torch.device("meta"))
    tensors = [value for value in vars(moved.responses).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6
    assert {tensor.device.type for tensor in [*tensors, moved.indices, moved.rewards]} == {"meta"}


def test_a_pair_counts_its_prompt_once_and_what_is_computed_apart_with_a_prompt_of_its_own() -> None:
    pair = TokenizedPair((1, 2), (3, 4), (6,), 2.0, 1.0, ((5, 5, 5), (8,)), (1.75, 1.5), mismatched=(2,))
    assert [tokens_of(pair, *asked) for asked in ((False, False), (True, False), (False, True))] == [5, 9, 8]
    assert tokens_of(pair, others=True) == len(collate([pair], [0], others=True).responses.tokens)

"""Micro-batches hold whole pairs, no more tokens than allowed, and are equally many on all ranks."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.preferences.packing import split_evenly, split_in_order

COSTS = st.lists(st.integers(1, 1000), min_size=8, max_size=60)


def tokens(costs: Sequence[int], pairs: Sequence[int]) -> int:
    return sum(costs[pair] for pair in pairs)


@given(COSTS, st.integers(1, 8), st.integers(100, 5000))
def test_every_pair_is_in_one_micro_batch_and_ranks_have_equally_many(costs: list[int], ranks: int, budget: int) -> None:
    made = split_evenly(costs, ranks, budget)
    assert sorted(pair for of_rank in made for held in of_rank for pair in held) == list(range(len(costs)))
    assert len({len(of_rank) for of_rank in made}) == 1
    assert all(held for of_rank in made for held in of_rank)
    numbers = [sum(len(held) for held in of_rank) for of_rank in made]
    assert max(numbers) - min(numbers) <= 1
    assert split_evenly(costs, ranks, budget) == made


@given(COSTS, st.integers(1, 4))
def test_the_budget_is_kept_unless_a_pair_is_longer_or_the_ranks_leave_no_choice(costs: list[int], ranks: int) -> None:
    budget = 2 * max(costs)
    for of_rank in split_evenly(costs, ranks, budget):
        fewest = min(sum(len(held) for held in other) for other in split_evenly(costs, ranks, budget))
        assert len(of_rank) == fewest or all(tokens(costs, held) <= budget for held in of_rank)


def test_ranks_get_about_the_same_number_of_tokens() -> None:
    costs = [n % 97 + 10 for n in range(0, 6400, 50)]
    shares = [sum(tokens(costs, held) for held in of_rank) for of_rank in split_evenly(costs, 4, 1000)]
    assert max(shares) < 1.02 * min(shares)


@given(COSTS, st.integers(1, 3000))
def test_in_order_every_pair_comes_once_and_no_two_neighbours_would_fit_into_one(costs: list[int], budget: int) -> None:
    made = split_in_order(costs, budget)
    assert [pair for held in made for pair in held] == list(range(len(costs)))
    assert all(len(held) == 1 or tokens(costs, held) <= budget for held in made)
    assert all(tokens(costs, held) + costs[after[0]] > budget for held, after in pairwise(made))
    assert split_in_order([], budget) == []


@pytest.mark.parametrize(("budget", "count"), [(1000, 1), (60, 2), (30, 4), (1, 8)])
def test_a_smaller_budget_makes_more_micro_batches(budget: int, count: int) -> None:
    ((*made,),) = split_evenly([15] * 8, 1, budget)
    assert len(made) == count

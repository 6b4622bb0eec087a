"""A bet against the truth seldom wins, however often one looks; against an untruth it wins soon."""

import math

import numpy as np
import pytest

from evals.anytime import log_wealth, upper_bound

LOOKS = range(5, 201, 5)


def ever_rich(draws: np.ndarray, error_rate: float) -> float:
    """The share of sequences (rows) in which the bettor's wealth ever reaches 1 / error_rate."""
    return float(np.mean([any(log_wealth(row[:n]) >= -math.log(error_rate) for n in LOOKS) for row in draws]))


@pytest.mark.parametrize("kind", ["wide", "narrow", "skewed"])
def test_where_the_mean_is_not_below_zero_the_bet_wins_at_most_as_often_as_stated_at_any_look(kind: str) -> None:
    chance = np.random.default_rng(0)
    shape = (400, LOOKS.stop)
    draws = {
        "wide": chance.choice([-1.0, 1.0], shape),
        "narrow": chance.choice([-0.1, 0.1], shape),
        "skewed": np.where(chance.random(shape) < 0.9, -0.1, 0.9),
    }[kind]
    assert ever_rich(draws, 0.1) <= 0.1


def test_a_stratified_order_wins_no_more_often_than_a_random_one() -> None:
    """Every second prompt is one that the candidate loses, the others are won: the mean is zero."""
    chance = np.random.default_rng(1)
    draws = np.where(np.arange(LOOKS.stop) % 2, 0.5, -0.5) + 0.5 * chance.choice([-1.0, 1.0], (400, LOOKS.stop))
    assert ever_rich(draws, 0.1) <= 0.1


def test_a_real_difference_is_found() -> None:
    chance = np.random.default_rng(2)
    draws = chance.choice([-1.0, 0.0, 1.0], (200, LOOKS.stop), p=[0.4, 0.45, 0.15])
    assert ever_rich(draws, 0.05) > 0.95


def test_the_wealth_does_not_depend_on_the_order_of_the_verdicts() -> None:
    differences = np.random.default_rng(3).uniform(-1, 1, 50)
    assert log_wealth(differences) == pytest.approx(log_wealth(differences[::-1]), rel=1e-12)


def test_bounds_hold_the_truth_and_close_in_on_it() -> None:
    chance = np.random.default_rng(4)
    first, second = chance.random((2, 4000))
    widths = []
    for count in (40, 400, 4000):
        differences = first[:count] - second[:count]
        low, high = -upper_bound(-differences, 0.025), upper_bound(differences, 0.025)
        assert low < 0 < high
        assert low < differences.mean() < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_nothing_known_bounds_nothing() -> None:
    assert upper_bound([], 0.05) == pytest.approx(1, abs=1e-6)
    assert log_wealth([]) == pytest.approx(0, abs=1e-12)


def test_the_wealth_is_the_mean_over_stakes_of_what_each_would_have_won() -> None:
    differences, mean = [-0.4, 0.2, -0.9, 0.1], 0.25
    stakes = np.geomspace(0.02, 0.99, 8)
    won = np.mean([np.prod([1 + stake * (mean - each) / (1 - mean) for each in differences]) for stake in stakes])
    assert log_wealth(differences, mean) == pytest.approx(math.log(won))
    assert log_wealth(differences) == log_wealth(differences, 0.0) != log_wealth(differences, mean)


def test_the_bound_is_the_mean_at_which_the_bet_has_just_won_enough() -> None:
    differences = np.random.default_rng(5).uniform(-0.5, 0.3, 60)
    bound = upper_bound(differences, 0.05)
    assert log_wealth(differences, bound) == pytest.approx(math.log(20), abs=1e-5)
    assert upper_bound(differences, 0.01) > bound

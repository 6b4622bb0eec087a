"""The best to expect of so many trials is the mean, over all choices of so many, of the best among them."""

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.search.curves import curves, expected_best
from orchestrator.search.leaderboard import BASE, Row

RATES = st.lists(st.floats(0, 100), min_size=1, max_size=7)


@given(RATES)
def test_the_expected_best_is_the_mean_over_all_choices(rates: list[float]) -> None:
    plain = [fmean(max(chosen) for chosen in combinations(rates, count)) for count in range(1, len(rates) + 1)]
    assert expected_best(rates) == pytest.approx(plain)


def test_each_method_has_its_own_curve_of_the_trials_that_have_a_score() -> None:
    rows = [Row("1", "dpo", {}, 50.0), Row("2", "ipo", {}, 40.0), Row("3", "dpo", {}, 60.0), Row("4", "dpo", {}), Row(BASE, BASE, {}, 50.0)]
    assert curves(rows) == {"dpo": [55.0, 60.0], "ipo": [40.0]}
    assert curves([]) == {}


def test_thousands_of_trials_have_a_curve_that_rises_to_the_best() -> None:
    curve = expected_best(range(3000))
    assert curve == sorted(curve)
    assert curve[0] == pytest.approx(1499.5)
    assert curve[-1] == pytest.approx(2999)


def test_without_trials_there_is_no_curve() -> None:
    assert expected_best([]) == []

"""Intervals: do they hold the truth as often as they say?"""

import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evals.errors import UserError
from evals.statistics import clustered_interval, holm, mean_interval, paired_difference, student_p, student_quantile


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.30265), (5, 2.57058), (30, 2.04227), (1000, 1.962339), (10**6, 1.959966)]
)
def test_students_quantile_equals_the_printed_table(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom, 0.95) == pytest.approx(quantile, rel=2e-6)


def test_the_interval_holds_the_true_win_rate_of_a_noisy_judge_as_often_as_it_says() -> None:
    noise = random.Random(0)
    intervals = [mean_interval([noise.betavariate(1.2, 0.8) for _ in range(25)]) for _ in range(2000)]
    held = fmean(interval.low <= 0.6 <= interval.high for interval in intervals)
    assert 0.935 <= held <= 0.965


def test_the_paired_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    noise = random.Random(1)
    held = 0
    for _ in range(1500):
        ease = [noise.uniform(0.2, 0.7) for _ in range(30)]
        a, b = ([level + gain + noise.uniform(-0.1, 0.1) for level in ease] for gain in (0.1, 0.0))
        interval = paired_difference(a, b)
        held += interval.low <= 0.1 <= interval.high
    assert 0.935 <= held / 1500 <= 0.965


def test_pairing_removes_the_doubt_that_hard_prompts_bring() -> None:
    a, b = [0.1, 0.5, 0.9, 0.4], [0.0, 0.4, 0.79, 0.31]
    paired, alone = paired_difference(a, b), mean_interval(a)
    assert paired.mean == pytest.approx(0.1)
    assert paired.high - paired.low < (alone.high - alone.low) / 10


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_equal_scores_still_leave_a_doubt(score: float, count: int) -> None:
    interval = mean_interval([score] * count)
    assert interval.mean == score
    assert 0 <= interval.low <= score <= interval.high <= 1
    assert interval.high - interval.low > 0.05


def test_thirty_wins_of_thirty_get_wilsons_interval() -> None:
    interval = mean_interval([1.0] * 30)
    assert (interval.mean, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(0.88649, abs=1e-5)


def test_equal_checkpoints_differ_by_zero_with_a_doubt_on_both_sides() -> None:
    interval = paired_difference([0.3, 0.9, 0.5], [0.3, 0.9, 0.5])
    assert interval.mean == 0
    assert interval.low < 0 < interval.high


def test_the_interval_stays_inside_the_range_of_the_scores() -> None:
    assert mean_interval([1.0, 1.0, 0.0]).high == 1.0
    assert paired_difference([1.0, 1.0, 0.4], [0.0, 0.0, 0.0]).high == 1.0


@pytest.mark.parametrize("scores", [[], [0.5, 1.2], [float("nan")]])
def test_scores_that_are_none_or_outside_the_range_are_refused(scores: list[float]) -> None:
    with pytest.raises(UserError, match="from 0 to 1"):
        mean_interval(scores)


def test_a_confidence_in_percent_is_refused() -> None:
    with pytest.raises(UserError, match=r"not between 0 and 1"):
        mean_interval([0.1, 0.2], confidence=95)


def test_scores_of_other_prompts_cannot_be_paired() -> None:
    with pytest.raises(UserError, match="2 scores cannot be paired with 1"):
        paired_difference([0.1, 0.2], [0.1])


@pytest.mark.parametrize("freedom", [1, 2, 5, 29, 400, 1500])
@pytest.mark.parametrize("t", [0.0, 0.5, -2.1, 4.0])
def test_the_p_value_is_students_mass_in_both_tails(freedom: int, t: float) -> None:
    assert student_p(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), abs=1e-9)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holms_correction_equals_the_step_down_procedure_at_every_level(ps: list[float]) -> None:
    corrected = holm(ps)
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for place, number in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
            if (len(ps) - place) * ps[number] > level:
                break
            rejected.add(number)
        assert {number for number, p in enumerate(corrected) if p <= level} == rejected


def test_holms_correction_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=5), st.integers(0, 20))
def test_members_of_a_family_that_show_nothing_need_not_be_listed(ps: list[float], more: int) -> None:
    assert holm(ps, len(ps) + more) == holm([*ps, *[1.0] * more])[: len(ps)]


def test_scores_of_one_prompt_count_as_one_prompt_however_many_there_are() -> None:
    scores = [0.0, 1.0, 1.0, 0.5, 0.25, 1.0]
    once, plain = clustered_interval(scores, range(6)), mean_interval(scores)
    assert (once.mean, once.low, once.high) == pytest.approx((plain.mean, plain.low, plain.high))
    repeated = clustered_interval([score for score in scores for _ in range(5)], [number for number in range(6) for _ in range(5)])
    assert (repeated.mean, repeated.low, repeated.high) == pytest.approx((once.mean, once.low, once.high))

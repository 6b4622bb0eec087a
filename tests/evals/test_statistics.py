"""Intervals: do they hold the truth as often as they say?"""

import math
import random
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from evals.errors import UserError
from evals.statistics import (
    Interval,
    clustered_interval,
    holm,
    interval_within,
    mean_interval,
    probability,
    student_p,
    student_quantile,
    wilson_interval,
)


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


def test_near_the_end_of_the_range_the_interval_holds_the_true_rate_as_well() -> None:
    noise = random.Random(0)
    intervals = [mean_interval([float(noise.random() < 0.9) for _ in range(50)]) for _ in range(2000)]
    held = fmean(interval.low <= 0.9 <= interval.high for interval in intervals)
    # Student's holds it in 88 of a hundred.
    assert 0.94 <= held <= 0.98


@pytest.mark.parametrize(("lost", "count"), [(0.05, 20), (0.05, 50), (0.01, 50), (0.01, 100)])
def test_a_rare_loss_that_no_prompt_showed_is_held_too(lost: float, count: int) -> None:
    noise = random.Random(0)
    intervals = [mean_interval([abs((noise.random() >= lost) - 0.05 * noise.random()) for _ in range(count)]) for _ in range(2000)]
    held = fmean(interval.low <= 0.975 - 0.95 * lost <= interval.high for interval in intervals)
    # By the spread that they show alone: 39 to 90 of a hundred.
    assert held >= 0.95


def test_the_interval_stays_inside_the_range_of_the_scores() -> None:
    few = mean_interval([1.0, 1.0, 0.0])
    assert 0 < few.low < few.mean < few.high < 1
    # A mean that is at the end with an error, as a fitted one may be.
    assert interval_within(1.0, 0.1, 30) == wilson_interval(1.0, 30)
    assert interval_within(0.0, 0.1, 30, 0.8) == wilson_interval(0.0, 30, 0.8)


@pytest.mark.parametrize("scores", [[], [0.5, 1.2], [float("nan")]])
def test_scores_that_are_none_or_outside_the_range_are_refused(scores: list[float]) -> None:
    with pytest.raises(UserError, match="from 0 to 1"):
        mean_interval(scores)


def test_a_confidence_in_percent_is_refused() -> None:
    with pytest.raises(UserError, match=r"not between 0 and 1"):
        mean_interval([0.1, 0.2], confidence=95)


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


def bounds(interval: Any) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def assert_within(found: Interval, error: float, count: int, confidence: float) -> None:
    """Each bound is a mean whose own error `found.mean` is as many times away as Student's quantile says, or beyond what is unseen."""
    quantile, z = (float(of.ppf((1 + confidence) / 2)) for of in (stats.t(count - 1), stats.norm()))
    trials = found.mean * (1 - found.mean) / error**2
    unseen = z**2 / (count + z**2)

    def beyond(bound: float) -> float:
        return abs(found.mean - bound) - quantile * math.sqrt(bound * (1 - bound) / trials)

    low, high = (float(brentq(beyond, end, found.mean)) for end in (0.0, 1.0))  # pyright: ignore[reportArgumentType]
    expected = min(low, found.mean - unseen * found.mean), max(high, found.mean + unseen * (1 - found.mean))
    assert (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (0.85, 1.0), (0.0, 0.02)])
def test_the_bounds_of_a_mean_are_wilsons_with_the_spread_of_the_scores(low: float, high: float, confidence: float) -> None:
    scores = np.random.default_rng(0).uniform(low, high, 12)
    found = mean_interval(list(scores), confidence)
    assert found.mean == pytest.approx(scores.mean())
    assert_within(found, float(stats.sem(scores)), 12, confidence)
    if confidence == 0.95:
        assert mean_interval(list(scores)) == found


def test_in_the_middle_of_the_range_the_bounds_are_students() -> None:
    scores = np.random.default_rng(0).uniform(0.3, 0.7, 400)
    assert bounds(mean_interval(list(scores)))[1:] == pytest.approx(stats.t.interval(0.95, 399, scores.mean(), stats.sem(scores)), abs=1e-5)


@pytest.mark.parametrize(("wins", "count"), [(0, 1), (1, 1), (3, 10), (50, 50), (123, 805)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilsons_interval_is_scipys(wins: int, count: int, confidence: float) -> None:
    expected = stats.binomtest(wins, count).proportion_ci(confidence, method="wilson")
    found = wilson_interval(wins / count, count, confidence)
    assert bounds(found) == pytest.approx((wins / count, expected.low, expected.high))
    if confidence == 0.95:
        assert wilson_interval(wins / count, count) == found


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_error_of_clustered_scores_sums_over_clusters(confidence: float) -> None:
    chance = np.random.default_rng(1)
    clusters = chance.integers(0, 7, 40)
    scores = np.clip(0.5 + 0.1 * chance.standard_normal(7)[clusters] + 0.1 * chance.standard_normal(40), 0, 1)
    sums = np.array([(scores[clusters == cluster] - scores.mean()).sum() for cluster in np.unique(clusters)])
    error = math.sqrt(7 / 6 * (sums**2).sum()) / 40
    found = clustered_interval(list(scores), list(clusters), confidence)
    assert found.mean == pytest.approx(scores.mean())
    assert_within(found, error, 7, confidence)
    if confidence == 0.95:
        assert clustered_interval(list(scores), list(clusters)) == found


def test_clusters_without_spread_have_wilsons_doubt_of_as_many_clusters() -> None:
    assert clustered_interval([1.0] * 6, [0, 0, 0, 1, 1, 1], 0.8) == wilson_interval(1.0, 2, 0.8)
    assert clustered_interval([0.2, 0.9], ["one", "one"], 0.8) == wilson_interval(0.55, 1, 0.8)


def test_two_scores_and_two_clusters_are_enough_for_a_spread() -> None:
    assert_within(mean_interval([0.5, 0.6], 0.8), 0.05, 2, 0.8)
    # Each cluster is 0.05 off: sqrt(2/1 * 2 * 0.05^2) / 4.
    assert_within(clustered_interval([0.5, 0.5, 0.6, 0.5], ["a", "a", "b", "b"], 0.8), 0.025, 2, 0.8)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, -0.5])
def test_a_confidence_that_is_none_is_named_with_the_cure(confidence: float) -> None:
    with pytest.raises(UserError) as refused:
        mean_interval([0.5, 0.6], confidence)
    assert (refused.value.what, refused.value.cure) == (
        f"the confidence {confidence} is not between 0 and 1",
        "give a fraction, such as 0.95",
    )


@pytest.mark.parametrize("scores", [[], [1.5], [-0.1, 0.5], [math.nan]])
def test_what_cannot_be_averaged_is_refused_with_the_cure(scores: list[float]) -> None:
    with pytest.raises(UserError) as plain:
        mean_interval(scores)
    assert plain.value.what == "an interval needs at least one score, each from 0 to 1"
    assert plain.value.cure == "drop unreadable verdicts before averaging"
    with pytest.raises(UserError) as clustered:
        clustered_interval(scores, range(len(scores)))
    assert clustered.value.what == "an interval needs at least one score, each from 0 to 1 and in a cluster"
    assert clustered.value.cure == "drop what is unreadable"
    with pytest.raises(UserError, match="in a cluster"):
        clustered_interval([0.5, 0.5], ["one"])


def test_scores_at_both_ends_of_the_scale_are_scores() -> None:
    assert mean_interval([0.0, 1.0]).mean == clustered_interval([0.0, 1.0], [0, 1]).mean == 0.5


def test_a_log_probability_stands_for_a_probability_and_nonsense_for_none() -> None:
    found = [probability(logprob) for logprob in (None, math.nan, -math.inf, math.log(0.25), 0.0, 0.5)]
    assert found == pytest.approx([0.0, 0.0, 0.0, 0.25, 1.0, 1.0])

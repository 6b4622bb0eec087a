"""Paired comparison of two models on the same prompts."""

import math
import random
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from evals.benchmarks.score import BenchmarkScore
from evals.comparison import compare_scores, compare_verdicts, compared, paired
from evals.errors import UserError
from evals.statistics import wilson_interval


def verdicts(scores: list[float]) -> dict[str, float]:
    return {f"p{number}": score for number, score in enumerate(scores)}


def test_the_error_is_that_of_the_differences_and_the_interval_students() -> None:
    first, second = [1.0, 0.5, 0.0, 1.0, 0.7], [0.0, 0.5, 0.5, 0.6, 0.7]
    differences = 100 * (np.array(first) - np.array(second))
    compared = compare_verdicts(verdicts(first), verdicts(second))
    error = differences.std(ddof=1) / math.sqrt(5)
    assert compared.difference == pytest.approx(differences.mean())
    assert compared.standard_error == pytest.approx(error)
    assert compared.high - compared.difference == pytest.approx(2.776445 * error, rel=1e-6)
    assert compared.prompts == 5


def test_two_models_that_agree_prompt_by_prompt_are_told_apart_with_fewer_prompts_than_unpaired_ones() -> None:
    chance = random.Random(1)
    hard = [chance.random() for _ in range(200)]
    first, second = [min(1, value + 0.04) for value in hard], hard
    compared = compare_verdicts(verdicts(first), verdicts(second))
    assert compared.p < 1e-6
    assert compared.detectable < 1.0
    shuffled = sorted(second)
    assert compare_verdicts(verdicts(first), verdicts(shuffled)).standard_error > 10 * compared.standard_error


def test_p_values_of_equal_models_are_uniform_and_the_interval_covers_nineteen_of_twenty() -> None:
    chance = np.random.default_rng(3)
    below, covered = [], []
    for _ in range(400):
        first, second = (verdicts(list((chance.random(40) < 0.4).astype(float))) for _ in range(2))
        compared = compare_verdicts(first, second)
        below.append(compared.p < 0.25)
        covered.append(compared.low <= 0 <= compared.high)
    assert fmean(below) == pytest.approx(0.25, abs=0.07)
    assert fmean(covered) == pytest.approx(0.95, abs=0.03)


def test_the_detectable_difference_is_detected_in_four_of_five_repetitions() -> None:
    chance = np.random.default_rng(4)
    noise, prompts = 0.2, 100
    detectable = 2.8016 * 100 * noise / math.sqrt(prompts)
    found, claimed = [], []
    for _ in range(400):
        second = np.full(prompts, 0.5)
        first = second + detectable / 100 + noise * chance.standard_normal(prompts)
        compared = compare_verdicts(verdicts(list(first)), verdicts(list(second)))
        found.append(compared.p < 0.05)
        claimed.append(compared.detectable)
    assert fmean(found) == pytest.approx(0.8, abs=0.06)
    assert fmean(claimed) == pytest.approx(detectable, rel=0.05)


def test_models_that_agree_on_every_prompt_are_not_surely_equal() -> None:
    few, many = ([0.0, 1.0, 0.4] * times for times in (1, 300))
    narrow = compare_verdicts(verdicts(many), verdicts(many))
    wide = compare_verdicts(verdicts(few), verdicts(few))
    assert (narrow.difference, narrow.standard_error, narrow.p) == (0.0, 0.0, 1.0)
    assert 0 < narrow.high == -narrow.low < 0.5
    assert wide.high > 40
    always_ahead = compare_verdicts(verdicts([1.0] * 3), verdicts([0.0] * 3))
    assert 0 < always_ahead.low < 100 == always_ahead.high


@pytest.mark.parametrize("prompts", [3, 5, 8, 12])
def test_prompts_that_all_say_the_same_show_no_more_than_as_many_coins_that_fall_alike(prompts: int) -> None:
    ahead = compare_verdicts(verdicts([1.0] * prompts), verdicts([0.0] * prompts))
    assert ahead.p == 2 * 0.5**prompts
    assert compare_verdicts(verdicts([1.0] * prompts), verdicts([1.0] * prompts)).p == 1.0
    nearly = compare_verdicts(verdicts([1.0] * (prompts - 1) + [0.99]), verdicts([0.0] * prompts))
    assert nearly.standard_error > 0 and nearly.p == ahead.p


@pytest.mark.parametrize(("benchmark", "span"), [("arena_hard", 100.0), ("mt_bench", 9.0), ("alpaca_eval2", 100.0)])
def test_no_difference_is_told_beyond_the_scale(benchmark: str, span: float) -> None:
    influence = {"a": span, "b": -span, "c": 0.0}
    best = BenchmarkScore(benchmark, "a", "j", span, 1, 0, span, 3, 0, influence=influence)
    worst = BenchmarkScore(benchmark, "b", "j", 0.0, 1, 0, span, 3, 0, influence={name: -share for name, share in influence.items()})
    for found in (compare_scores(best, worst), compare_scores(worst, best)):
        assert (found.low, found.high, found.detectable) == (-span, span, span)
    almost = compare_verdicts(verdicts([1.0] * 20), verdicts([0.0] * 19 + [1.0]))
    assert almost.low > 80 and almost.high == 100.0


def test_only_prompts_that_both_have_are_compared_and_too_few_are_refused() -> None:
    assert compare_verdicts({"a": 1.0, "b": 0.0, "c": 1.0}, {"b": 0.0, "a": 0.0, "d": 1.0}).prompts == 2
    with pytest.raises(UserError, match="1 prompts"):
        compare_verdicts({"a": 1.0, "b": 0.0}, {"b": 0.0})
    with pytest.raises(UserError, match="in common"):
        paired(1.0, {"a": 0.1, "b": 0.2}, {"c": 0.1})


def test_of_scores_with_one_prompt_in_common_nothing_is_told() -> None:
    ours, other = (BenchmarkScore("arena_hard", name, "j", 50, 1, 48, 52, 1, 0, influence={"a": 0.1}) for name in "ab")
    assert compared(ours, other) is None
    both = [replace(score, influence={"a": 0.1, "b": 0.2}) for score in (ours, other)]
    assert compared(both[0], both[1]) == compare_scores(both[0], both[1])


def test_scores_of_different_judges_benchmarks_or_baselines_are_not_compared() -> None:
    ours = BenchmarkScore("arena_hard", "a", "gpt-4", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2})
    for other in (
        BenchmarkScore("arena_hard", "b", "gpt-5", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2}),
        BenchmarkScore("mt_bench", "b", "gpt-4", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2}),
        BenchmarkScore("arena_hard", "b", "gpt-4", 50, 1, 48, 52, 10, 0, {"baseline": "o3"}, influence={"a": 0.1, "b": 0.2}),
    ):
        with pytest.raises(UserError, match="cannot be compared"):
            compare_scores(ours, other)


@pytest.mark.parametrize(("benchmark", "span"), [("arena_hard", 100.0), ("mt_bench", 9.0)])
def test_scores_are_compared_by_the_influence_of_their_prompts_on_the_benchmarks_own_scale(benchmark: str, span: float) -> None:
    ours = BenchmarkScore(benchmark, "a", "judge", 8.0, 1, 7, 9, 3, 0, influence={"a": 0.5, "b": -0.25, "c": -0.25})
    other = BenchmarkScore(benchmark, "b", "judge", 7.0, 1, 6, 8, 3, 0, influence={"a": 0.25, "b": -0.5, "c": 0.25})
    found = compare_scores(ours, other)
    error = math.sqrt(0.25**2 + 0.25**2 + 0.5**2)
    assert (found.difference, found.standard_error, found.prompts) == pytest.approx((1.0, error, 3))
    half = stats.t.ppf(0.975, 2) * error
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half))
    # Three coins fall alike no more rarely than this.
    assert found.p == pytest.approx(max(0.25, float(2 * stats.t.sf(1 / error, 2))))
    assert found.detectable == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * error)
    assert compare_scores(ours, ours).high == pytest.approx(span * wilson_interval(0.0, 3).high)


def test_a_prompt_that_one_model_has_alone_counts_for_that_one() -> None:
    found = paired(2.0, {"a": 0.1, "b": 0.2, "c": 0.3}, {"a": 0.3, "b": 0.1, "d": 0.4})
    assert found.standard_error == pytest.approx(math.sqrt(0.2**2 + 0.1**2 + 0.3**2 + 0.4**2))
    assert found.prompts == 4
    assert found.as_dict()["difference"] == 2.0


def test_what_cannot_be_compared_is_refused_with_the_place_and_the_cure() -> None:
    ours = BenchmarkScore("arena_hard", "a", "gpt-4", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2})
    theirs = BenchmarkScore("arena_hard", "b", "gpt-5", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2})
    against = replace(ours, details={"baseline": "o3"})
    alike, few = "judge both models alike", "fewer than two prompts"
    asked = [
        (lambda: compare_scores(ours, against), "scores of two baselines cannot be compared: one without a name and o3", alike),
        (lambda: compare_scores(ours, theirs), "scores of two judges cannot be compared: gpt-4 and gpt-5", alike),
        (lambda: compare_verdicts({"a": 1.0}, {"a": 0.5}), "1 prompts have verdicts on both models", "score both on the same prompts"),
        (lambda: paired(0.0, {"a": 1.0}, {"a": 0.5}), f"the two models have {few} in common", "judge both on the same prompts"),
    ]
    for compare, what, cure in asked:
        with pytest.raises(UserError) as refused:
            compare()
        assert (refused.value.what, refused.value.where, refused.value.cure) == (what, "compare", cure)

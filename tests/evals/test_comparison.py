"""Paired comparison of two models on the same prompts."""

import math
import random
from statistics import fmean

import numpy as np
import pytest

from evals.benchmarks.score import BenchmarkScore
from evals.comparison import compare_scores, compare_verdicts, paired
from evals.errors import UserError


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
    assert always_ahead.low < 100 < always_ahead.high
    assert 0.01 < always_ahead.p < 0.1


def test_only_prompts_that_both_have_are_compared_and_too_few_are_refused() -> None:
    assert compare_verdicts({"a": 1.0, "b": 0.0, "c": 1.0}, {"b": 0.0, "a": 0.0, "d": 1.0}).prompts == 2
    with pytest.raises(UserError, match="1 prompts"):
        compare_verdicts({"a": 1.0, "b": 0.0}, {"b": 0.0})
    with pytest.raises(UserError, match="in common"):
        paired(1.0, {"a": 0.1, "b": 0.2}, {"c": 0.1})


def test_scores_of_different_judges_or_benchmarks_are_not_compared() -> None:
    ours = BenchmarkScore("arena_hard", "a", "gpt-4", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2})
    for other in (
        BenchmarkScore("arena_hard", "b", "gpt-5", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2}),
        BenchmarkScore("mt_bench", "b", "gpt-4", 50, 1, 48, 52, 10, 0, influence={"a": 0.1, "b": 0.2}),
    ):
        with pytest.raises(UserError, match="cannot be compared"):
            compare_scores(ours, other)

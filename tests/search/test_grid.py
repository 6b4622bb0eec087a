"""A grid begins with the published setting, holds both ends of every range, and ends."""

from itertools import pairwise
from typing import Any

import pytest

from orchestrator.distributions import Choice, Distribution, LogUniform, Uniform
from orchestrator.search.grid import grid, listed_samples
from orchestrator.settings import RangeSettings, SearchSettings
from tests.search.events import of_training

RANGES: dict[str, Distribution] = {"dpo.beta": LogUniform(0.01, 1), "dpo.label_smoothing": Choice((0.0, 0.1))}


def test_a_grid_holds_every_combination_once_after_the_published_setting() -> None:
    samples = grid(RANGES, 3, {"dpo.beta": 0.3, "dpo.label_smoothing": 0.0})
    assert samples[0] == {"dpo.beta": 0.3, "dpo.label_smoothing": 0.0}
    assert [tuple(sample.values()) for sample in samples[1:]] == [
        (beta, smoothing) for beta in (0.01, pytest.approx(0.1), 1) for smoothing in (0.0, 0.1)
    ]


def test_a_published_setting_on_the_grid_is_not_tried_twice() -> None:
    samples = grid(RANGES, 3, {"dpo.beta": 0.1, "dpo.label_smoothing": 0.1})
    assert len(samples) == 6
    assert samples[0] == {"dpo.beta": 0.1, "dpo.label_smoothing": 0.1}


def test_a_published_setting_near_the_grid_in_rounding_only_is_not_tried_twice() -> None:
    ranges: dict[str, Distribution] = {"training.learning_rate": LogUniform(5e-7, 5e-5)}
    assert len(grid(ranges, 3, {"training.learning_rate": 5e-6})) == 3


@pytest.mark.parametrize("points", [2, 3, 5, 8])
@pytest.mark.parametrize("distribution", [Uniform(0.3, 0.9), LogUniform(3e-7, 3e-5)])
def test_points_hold_both_ends_exactly_and_lie_evenly(distribution: Uniform | LogUniform, points: int) -> None:
    values = sorted(sample["x"] for sample in grid({"x": distribution}, points, {}))
    assert (values[0], values[-1], len(values)) == (distribution.low, distribution.high, points)
    assert all(distribution.contains(value) for value in values)
    is_log = isinstance(distribution, LogUniform)
    steps = [after / before if is_log else after - before for before, after in pairwise(values)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_a_single_point_is_the_middle_of_its_range() -> None:
    ranges: dict[str, Distribution] = {"x": Uniform(0, 1), "y": LogUniform(0.01, 1)}
    assert grid(ranges, 1, {}) == [{"x": 0.5, "y": pytest.approx(0.1)}]


@pytest.mark.parametrize(
    ("distribution", "points", "values"),
    [
        (Uniform(8, 64, whole=True), 3, [8, 36, 64]),
        (LogUniform(8, 128, whole=True), 5, [8, 16, 32, 64, 128]),
        (Uniform(1, 3, whole=True), 8, [1, 2, 3]),
        (Uniform(1, 4, whole=True), 1, [2]),
    ],
)
def test_the_points_of_whole_numbers_are_whole_and_no_more_than_there_are(distribution: Uniform, points: int, values: list[int]) -> None:
    found = [sample["x"] for sample in grid({"x": distribution}, points, {})]
    assert found == values
    assert {type(value) for value in found} == {int}


def test_what_the_published_setting_leaves_open_is_filled() -> None:
    first: dict[str, Any] = grid(RANGES, 2, {"dpo.label_smoothing": 0.1})[0]
    assert first == {"dpo.beta": 0.01, "dpo.label_smoothing": 0.1}


def test_without_ranges_there_is_one_setting() -> None:
    assert grid({}, 3, {}) == [{}]


def test_only_a_grid_and_a_method_without_ranges_have_a_last_sample() -> None:
    training = of_training(learning_rate=1e-6)
    listed = listed_samples(SearchSettings(methods=("dpo", "sft", "f_dpo")), training)
    assert listed == {"dpo": None, "sft": [{}], "f_dpo": None}
    ranges = {"training": {"learning_rate": RangeSettings(low=1e-7, high=1e-5, log=True)}}
    listed = listed_samples(SearchSettings(methods=("sft", "f_dpo"), searcher="grid", grid_points=2, space=ranges), training)
    assert {method: len(samples or ()) for method, samples in listed.items()} == {"sft": 3, "f_dpo": 13, "dpo": 5}
    assert (listed["sft"] or [])[0] == {"training.learning_rate": 1e-6}

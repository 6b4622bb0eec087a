"""A benchmark's interval is that of a mean in [0, 1], on the benchmark's own scale."""

import pytest

from evals.benchmarks.score import interval
from evals.statistics import interval_within


@pytest.mark.parametrize("bounds", [(0.0, 100.0), (1.0, 10.0)])
@pytest.mark.parametrize("error", [0.0, 0.02])
def test_an_interval_is_the_same_on_every_scale(bounds: tuple[float, float], error: float) -> None:
    low, span = bounds[0], bounds[1] - bounds[0]
    found = interval_within(0.9, error, 80)
    assert interval(low + 0.9 * span, error * span, 80, bounds) == pytest.approx((low + span * found.low, low + span * found.high))


def test_a_mean_below_the_scale_has_an_interval_too() -> None:
    assert interval(0.8, 0.05, 80, (1.0, 10.0))[0] == 0.8 < interval(0.8, 0.05, 80, (1.0, 10.0))[1] < 1.6

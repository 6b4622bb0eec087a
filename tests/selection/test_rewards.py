"""Rewards of any zero and unit come to one scale."""

import json
import math

import numpy as np
import pytest

from orchestrator.errors import DataFormatError
from orchestrator.selection.rewards import Scale, scale_of, standardised


def test_standardised_rewards_have_mean_zero_and_deviation_one_and_their_scale_takes_them_back() -> None:
    rewards = [3.0, -1.0, 4.0, 1.0, -5.0]
    values, scale = standardised(rewards)
    assert values.mean() == pytest.approx(0.0, abs=1e-12)
    assert values.std() == pytest.approx(1.0)
    assert values * scale.deviation + scale.mean == pytest.approx(rewards)


def test_another_zero_and_unit_change_nothing() -> None:
    rewards = [0.3, 0.1, 0.7, -0.2]
    assert standardised([100 * reward - 7 for reward in rewards])[0] == pytest.approx(standardised(rewards)[0])


@pytest.mark.parametrize("rewards", [[2.0], [0.1] * 3, [1e9 + 0.1] * 7])
def test_rewards_that_do_not_vary_count_nothing(rewards: list[float]) -> None:
    values, scale = standardised(rewards)
    assert values.tolist() == [0.0] * len(rewards)
    assert scale.deviation == 0.0
    assert scale.applied([5.0, -5.0]).tolist() == [0.0, 0.0]


def test_a_scale_is_applied_to_rewards_that_it_was_not_made_of_and_survives_json() -> None:
    scale = Scale(**json.loads(json.dumps(scale_of([0.0, 2.0]).as_dict())))
    assert scale == Scale(1.0, 1.0)
    assert np.array_equal(scale.applied([3.0]), [2.0])


@pytest.mark.parametrize("rewards", [[], [1.0, math.nan], [math.inf]])
def test_rewards_that_are_no_numbers_are_refused(rewards: list[float]) -> None:
    with pytest.raises(DataFormatError, match="have no scale"):
        standardised(rewards)

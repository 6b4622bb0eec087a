"""RS-DPO's rule."""

import math

import numpy as np
import pytest

from orchestrator.errors import SettingsError
from orchestrator.selection.rejection_sampling import accepted_pairs, is_accepted


def test_every_ordered_pair_above_the_bound_is_accepted_and_none_in_both_orders() -> None:
    rewards = [0.0, 1.0, 3.0]
    expected = [(i, j) for i in range(3) for j in range(3) if i != j and 1 / (1 + math.exp(-(rewards[i] - rewards[j]) / 0.5)) > 0.9]
    assert accepted_pairs(rewards, tau=0.5, eta=0.9) == expected == [(2, 0), (2, 1)]
    assert len(accepted_pairs(rewards, tau=0.5, eta=0.5)) == 3


def test_equal_rewards_are_never_accepted() -> None:
    assert accepted_pairs([1.0, 1.0], tau=1.0, eta=0.5) == []


def test_margins_that_overflow_a_sigmoid_are_compared_all_the_same() -> None:
    assert is_accepted(np.array([1e6, -1e6]), 1e-3, 0.999).tolist() == [True, False]


def test_an_eta_that_would_accept_both_orders_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"eta is 0\.4"):
        accepted_pairs([0.0, 1.0], tau=1.0, eta=0.4)

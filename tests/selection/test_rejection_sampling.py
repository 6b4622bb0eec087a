"""RS-DPO's rule."""

import math

import numpy as np
import pytest

from evals.prompts import Message
from orchestrator.errors import SettingsError
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse
from orchestrator.selection.rejection_sampling import accepted_pairs, all_accepted, is_accepted

ASKED = (Message("user", "say fox"),)


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


def test_pairs_of_the_data_are_never_turned_round() -> None:
    pairs = [PreferencePair(ASKED, "fox", "dog", 5.0, 1.0), PreferencePair(ASKED, "fox", "dog", 1.0, 5.0), PreferencePair(ASKED, "a", "b")]
    assert all_accepted(pairs, tau=1.0, eta=0.8) == pairs[:1]


def test_of_many_responses_every_accepted_pair_is_made_and_each_response_keeps_its_fields() -> None:
    calls = {"tool_calls": [{"function": {"name": "look"}}]}
    pair = PreferencePair(ASKED, "", "dog", 4.0, 0.0, others=(ScoredResponse("wolf", 3.9),), chosen_extra=calls)
    found = all_accepted([pair], tau=1.0, eta=0.8)
    assert [(each.chosen, each.chosen_extra, each.rejected, each.rejected_extra) for each in found] == [
        ("", calls, "dog", {}),
        ("wolf", {}, "dog", {}),
    ]
    assert [(each.chosen_reward, each.rejected_reward, each.others) for each in found] == [(4.0, 0.0, ()), (3.9, 0.0, ())]

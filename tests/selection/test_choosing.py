"""Which pairs a selection keeps."""

import numpy as np
import pytest

from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.selection.choosing import METRICS, Margins, count_selected, explicit_margins, selected
from orchestrator.settings import SelectionSettings

EXPLICIT = np.array([0.0, 3.0, 1.0, 2.0, 0.5, 2.5])
IMPLICIT = np.array([0.1, 0.1, 0.4, 0.2, 0.9, 0.3])
PAIRS = Margins(EXPLICIT, IMPLICIT)


def test_all_keeps_every_pair_even_those_of_equal_rewards() -> None:
    assert list(selected(SelectionSettings(), PAIRS)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_keeps_its_share_of_the_pairs_whose_rewards_differ(metric: str) -> None:
    settings = SelectionSettings.model_validate({"metric": metric, "fraction": 0.6})
    kept = selected(settings, PAIRS)
    assert len(kept) == 3 == count_selected(settings, EXPLICIT)
    assert 0 not in kept
    assert kept == sorted(kept)


def test_the_reward_margin_keeps_the_widest() -> None:
    assert selected(SelectionSettings(metric="reward_margin", fraction=0.4), PAIRS) == [1, 5]


def test_the_implicit_margin_keeps_what_the_model_tells_apart_least() -> None:
    assert selected(SelectionSettings(metric="implicit_margin", fraction=0.4), PAIRS) == [1, 3]


def test_a_larger_weight_moves_the_potential_from_the_rewards_to_the_model() -> None:
    margins = Margins(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]))
    assert selected(SelectionSettings(metric="alignment_potential", fraction=0.4, weight=0.5), margins) == [2]
    assert selected(SelectionSettings(metric="alignment_potential", fraction=0.4, weight=2.0), margins) == [0]


def test_random_is_another_choice_under_another_seed_and_the_same_under_the_same() -> None:
    margins = Margins(np.linspace(1, 2, 100))
    first, again, other = (selected(SelectionSettings(metric="random", seed=seed), margins) for seed in (0, 0, 1))
    assert first == again != other


def test_rejection_sampling_accepts_by_its_rule_whatever_the_fraction() -> None:
    settings = SelectionSettings(metric="rejection_sampling", eta=0.85, tau=1.0, fraction=0.01)
    assert selected(settings, PAIRS) == [1, 3, 5]
    assert count_selected(settings, EXPLICIT) == 3


def test_rejection_sampling_leaves_out_pairs_whose_rejected_response_has_the_higher_reward() -> None:
    settings, turned = SelectionSettings(metric="rejection_sampling"), np.array([4.0, -4.0])
    assert selected(settings, Margins(turned)) == [0]
    assert count_selected(settings, turned) == 1


def test_a_margin_is_as_wide_whichever_response_has_the_higher_reward() -> None:
    turned = Margins(EXPLICIT * [1, -1, 1, -1, 1, -1], IMPLICIT)
    for metric in METRICS:
        settings = SelectionSettings.model_validate({"metric": metric, "fraction": 0.6})
        assert selected(settings, turned) == selected(settings, PAIRS)


def test_the_margin_of_a_pair_is_its_chosen_reward_less_its_rejected_one() -> None:
    pairs = [TokenizedPair((1,), (2,), (3,), 5.0, 1.0), TokenizedPair((1,), (2,), (3,), 1.0, 5.0)]
    assert explicit_margins(pairs).tolist() == [4.0, -4.0]


def test_a_fraction_is_all_the_pairs_that_its_decimals_say() -> None:
    rewards = np.linspace(1, 2, 100)
    for hundredths in range(1, 101):
        settings = SelectionSettings(metric="reward_margin", fraction=hundredths / 100)
        assert len(selected(settings, Margins(rewards))) == hundredths == count_selected(settings, rewards)


def test_pairs_without_rewards_can_be_drawn_at_random_but_not_by_reward() -> None:
    unknown = Margins(np.full(10, np.nan))
    assert len(selected(SelectionSettings(metric="random"), unknown)) == 4
    with pytest.raises(DataFormatError, match="reward_margin needs rewards, and pair 1"):
        selected(SelectionSettings(metric="reward_margin"), unknown)


def test_rewards_that_are_all_equal_are_refused() -> None:
    with pytest.raises(DataFormatError, match="keeps none of 3 pairs"):
        selected(SelectionSettings(metric="reward_margin"), Margins(np.zeros(3)))


def test_a_metric_that_needs_the_model_says_so() -> None:
    assert [metric for metric in METRICS if SelectionSettings.model_validate({"metric": metric}).needs_model] == [
        "alignment_potential",
        "implicit_margin",
    ]
    with pytest.raises(ValueError, match="not measured"):
        selected(SelectionSettings(metric="alignment_potential"), Margins(EXPLICIT))

"""The fit is the optimum of its objective, and survives data that say nothing."""

import numpy as np
import pytest

from evals.benchmarks.length_control import GAMED_WEIGHT, GRID, Array, GamedRows, length_controlled
from evals.errors import UserError


def made(count: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Preferences, length differences and difficulties."""
    chance = np.random.default_rng(seed)
    return chance.random(count), chance.normal(0, 500, count), chance.normal(1, 1, count)


def gamed(count: int = 200) -> GamedRows:
    chance = np.random.default_rng(7)
    features = np.stack([np.tanh(chance.normal(0, 1, count)), chance.normal(1, 1, count), np.zeros(count)], axis=1)
    return GamedRows(features, chance.random(count))


@pytest.mark.parametrize("c", GRID)
@pytest.mark.parametrize("tail", [1.0, 2.5], ids=["", "heavy_tail"])
def test_no_small_change_of_the_weights_lowers_the_objective(c: float, tail: float) -> None:
    preferences, lengths, difficulty = made(300)
    rows = gamed()
    if tail > 1:
        # Whole Newton steps diverge here.
        difficulty = np.exp(tail * difficulty)
        preferences = (preferences < 1 / (1 + np.exp(6 - 3 * difficulty))).astype(np.float64)

    def objective(weights: Array) -> float:
        own = np.stack([np.tanh(lengths / lengths.std(ddof=1)), difficulty, np.ones(300)], axis=1)
        features, targets = np.concatenate([rows.features, own]), np.concatenate([rows.targets, preferences])
        shares = np.concatenate([np.full(len(rows.targets), GAMED_WEIGHT), np.ones(300)])
        logits = features @ weights
        return float(np.abs(weights).sum() + c * (shares @ (np.logaddexp(0, logits) - targets * logits)))

    weights = np.array(length_controlled(preferences, lengths, difficulty, rows, c).weights)
    least = objective(weights)
    chance = np.random.default_rng(1)
    for size in (1e-1, 1e-3, 1e-5):
        assert all(objective(weights + size * chance.normal(0, 1, 3)) >= least - 1e-9 * abs(least) for _ in range(50))


def test_cross_validation_chooses_from_the_official_grid() -> None:
    preferences, lengths, difficulty = made(300)
    found = length_controlled(preferences, lengths, difficulty, gamed())
    assert found.c in GRID
    assert found == length_controlled(preferences, lengths, difficulty, gamed(), found.c)


def test_a_longer_answer_that_wins_for_its_length_is_worth_less_when_lengths_are_equal() -> None:
    _, lengths, difficulty = made(600)
    preferences = (lengths < 0).astype(np.float64)
    longer = lengths - 400
    raw = 100 * float((longer < 0).mean())
    assert length_controlled((longer < 0).astype(np.float64), longer, difficulty, gamed()).win_rate < raw - 10
    assert length_controlled(preferences, lengths, difficulty, gamed()).win_rate == pytest.approx(100 * preferences.mean(), abs=5)


def test_lengths_that_never_differ_are_no_feature() -> None:
    preferences, lengths, difficulty = made(100)
    found = length_controlled(preferences, lengths * 0, difficulty, gamed())
    assert 0 < found.win_rate < 100
    assert np.isfinite(found.standard_error)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_verdicts_that_are_all_equal_have_a_finite_score(value: float) -> None:
    _, lengths, difficulty = made(50)
    found = length_controlled(np.full(50, value), lengths, difficulty, gamed())
    assert 0 <= found.win_rate <= 100
    assert np.isfinite(found.standard_error)


def test_the_error_is_that_of_refitting_on_resampled_instructions() -> None:
    preferences, lengths, difficulty = made(400, seed=3)
    whole = length_controlled(preferences, lengths, difficulty, gamed(), 21.5)
    chance = np.random.default_rng(0)
    scores = []
    for _ in range(200):
        drawn = chance.integers(0, 400, 400)
        scores.append(length_controlled(preferences[drawn], lengths[drawn], difficulty[drawn], gamed(), 21.5).win_rate)
    assert whole.standard_error == pytest.approx(np.std(scores), rel=0.2)


def test_no_verdicts_are_refused() -> None:
    with pytest.raises(UserError, match="no verdict"):
        length_controlled(np.zeros(0), np.zeros(0), np.zeros(0), gamed())

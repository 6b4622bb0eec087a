"""Scores that hypothesis draws, for properties that hold of all scores."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from orchestrator.objectives import Objective
from orchestrator.objectives.contract import State
from orchestrator.policy.scores import PairScores
from tests.objectives.scores import gradients, measured, pair_of

Check = Callable[..., None]
_FIGURES = (st.floats(-8.0, -0.01), st.integers(1, 60), st.floats(-30.0, 30.0), st.floats(-3.0, 3.0))
_RESPONSE = st.tuples(*_FIGURES)


def for_all(*scores: st.SearchStrategy[Any]) -> Callable[[Check], Check]:
    """A property of all scores that can be drawn, the same ones in every run."""

    def decorated(check: Check) -> Check:
        return settings(deadline=None, max_examples=50, derandomize=True, database=None)(given(*scores)(check))

    return decorated


def _columns(rows: list[list[tuple[float, int, float, float]]]) -> tuple[Tensor, ...]:
    """Log-probabilities, lengths, log ratios and rewards, (B, K) each."""
    mean, length, log_ratio, reward = (torch.tensor(rows, dtype=torch.float64)[..., column] for column in range(4))
    return mean * length, length.long(), log_ratio, reward


def _pairs(rows: list[list[tuple[float, int, float, float]]]) -> PairScores:
    logp, length, log_ratio, reward = ([*values.unbind(1)] for values in _columns(rows))
    return pair_of(logp, length, log_ratio, reward)


def _prompts(rows: list[list[tuple[float, int, float, float]]]) -> PairScores:
    logp, length, log_ratio, reward = _columns(rows)
    return PairScores.of_candidates(measured(logp, length, log_ratio, reward, length))


def _rows(responses: int, largest: int) -> st.SearchStrategy[list[list[tuple[float, int, float, float]]]]:
    return st.lists(st.lists(_RESPONSE, min_size=responses, max_size=responses), min_size=1, max_size=largest)


PAIRS = _rows(2, 4).map(_pairs)
ONE_PAIR = _rows(2, 1).map(_pairs)


def prompts(responses: int) -> st.SearchStrategy[PairScores]:
    """One to three prompts with so many scored responses each."""
    return _rows(responses, 3).map(_prompts)


def share(low: float, high: float) -> st.SearchStrategy[float]:
    """A hyperparameter between these."""
    return st.floats(low, high)


def assert_same(
    one: Objective, other: Objective, scores: PairScores, state: State | None = None, scale: float = 1.0, tolerance: float = 1e-9
) -> None:
    """Two objectives have the same losses, `scale` times, and the same gradients by both log-probabilities."""
    (found, slopes), (wanted, expected) = gradients(one, scores, state or {}), gradients(other, scores, {})
    close(found.loss, scale * wanted.loss, tolerance)
    for name in ("chosen.logp", "rejected.logp"):
        close(slopes[name], scale * expected[name], tolerance)


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-9) -> None:
    """Equal to a relative tolerance, and a hundredth of it in absolute terms where both are all but 0."""
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, rtol=tolerance, atol=tolerance / 100), f"{found} is not {wanted}"

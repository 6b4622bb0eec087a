"""The length-controlled win rate of AlpacaEval 2: a logistic model of verdicts, asked what they were at equal length.

Dubois et al. 2024, arXiv:2404.04475. Rows are joined by instruction, and the optimum is exact.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from operator import mul

import numpy as np
from numpy.typing import NDArray

from evals.errors import UserError

Array = NDArray[np.float64]

GRID = np.logspace(-4, 4, 10)
FOLDS = 5
# The rows of the gamed baselines regularise the fit: half of lambda = 0.2 for each of the two.
GAMED_WEIGHT = 0.1
_CLIP = 1e-15
_STEPS = 100
_RIDGE = 1e-12 * np.eye(3)
# A Newton step that moves no logit by more than 1.79 descends: there the Hessian grows by less than the model of the step allows for.
_SURE = 1.5
# After a step this small the next one would be its square.
_CLOSE = 1e-6
# The exponential function of more than this overflows.
_LIMIT = 700.0


@dataclass(frozen=True)
class GamedRows:
    """Verdicts on baselines that were told to be verbose or concise: targets in [0, 1], features (G, 3), the third of them 0."""

    features: Array
    targets: Array


@dataclass(frozen=True)
class LengthControl:
    """A fitted model: weights of length, difficulty and intercept; `c` the inverse strength of the L1 penalty.

    `win_rate` and `standard_error` are in percent; the error is the sandwich estimate, clustered by instruction, and `influence` (N,) each
    instruction's share in it: the root of the sum of their squares.
    """

    weights: tuple[float, float, float]
    c: float
    win_rate: float
    standard_error: float
    influence: Array = field(repr=False, compare=False)


@dataclass(frozen=True)
class _Problem:
    """Minimise |w|_1 + c sum_i s_i (softplus(w x_i) - y_i w x_i), once for each row of `shares` (K, N).

    Columns of `features` (3, N) are the x_i, `targets` (N,) the y_i.
    """

    features: Array
    targets: Array
    shares: Array

    @cached_property
    def _pull(self) -> Array:
        return (self.shares * self.targets) @ self.features.T

    @cached_property
    def _products(self) -> Array:
        return (self.features[:, None] * self.features[None, :]).reshape(9, -1).T

    def unpenalised_step(self) -> Array:
        """The first Newton step from zero without a penalty, (K, 3): linear regression."""
        gradients = self._pull - self.shares @ self.features.T / 2
        hessians = (self.shares @ self._products / 4).reshape(-1, 3, 3) + _RIDGE
        return np.linalg.solve(hessians, gradients[:, :, None])[:, :, 0].astype(np.float64)

    def losses(self, weights: Array) -> Array:
        """The smooth parts, without c, (K,)."""
        return (self.shares * np.logaddexp(0, weights @ self.features)).sum(axis=1) - (self._pull * weights).sum(axis=1)

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        """Gradients (K, 3) and Hessians (K, 3, 3) of the smooth parts, without c."""
        chances = _sigmoid(weights @ self.features)
        weighted = self.shares * chances
        gradients = weighted @ self.features.T - self._pull
        return gradients, (weighted * (1 - chances) @ self._products).reshape(-1, 3, 3)


def length_controlled(
    preferences: Array, length_difference: Array, difficulty: Array, gamed: GamedRows, c: float | None = None
) -> LengthControl:
    """Fit the verdicts on one model against the baseline.

    `preferences` (N,) in [0, 1] are the model's; `length_difference` (N,) is the baseline's length less the model's, in characters;
    `difficulty` (N,) is the instructions'. Without `c`, five-fold cross-validation chooses it on the official grid. Raises UserError
    without rows.
    """
    if not len(preferences):
        raise UserError("there is no verdict to control for length", cure="give annotations with preferences")
    features = np.stack([_normalised(length_difference), difficulty, np.ones_like(difficulty)], axis=1)
    shares = np.concatenate([np.full(len(gamed.targets), GAMED_WEIGHT), np.ones(len(preferences))])
    columns = np.ascontiguousarray(np.concatenate([gamed.features, features]).T)
    problem = _Problem(columns, np.concatenate([gamed.targets, preferences]), shares[None])
    chosen = _cross_validated(problem) if c is None else c
    weights = _fit(problem, chosen, problem.unpenalised_step())[0]
    at_equal_length = _sigmoid(features[:, 1:] @ weights[1:])
    influence = 100 * _influence(problem, features, preferences, weights)
    error = float(np.sqrt((influence**2).sum()))
    length, hard, intercept = map(float, weights)
    return LengthControl((length, hard, intercept), float(chosen), 100 * float(at_equal_length.mean()), error, influence)


def _normalised(difference: Array) -> Array:
    """Tanh of the difference in its own deviations; lengths that never differ say nothing."""
    deviation = difference.std(ddof=1) if len(difference) > 1 else 0.0
    return np.tanh(difference / deviation) if deviation > 0 else difference * 0.0


def _cross_validated(problem: _Problem) -> float:
    """The c of the grid with the least log loss on rows left out; rows are dealt to folds from the last to the first."""
    count, shares = len(problem.targets), problem.shares[0]
    fold = (count - 1 - np.arange(count)) % FOLDS
    learning = _Problem(problem.features, problem.targets, shares * (fold != np.arange(FOLDS)[:, None]))
    of_fold = np.bincount(fold, shares, FOLDS)
    weights, losses = np.zeros((FOLDS, 3)), []
    for c in GRID:
        weights = _fit(learning, c, weights)
        chances = _sigmoid((weights[fold].T * problem.features).sum(axis=0)).clip(_CLIP, 1 - _CLIP)
        hits = problem.targets * np.log(chances) + (1 - problem.targets) * np.log1p(-chances)
        losses.append(-(np.bincount(fold, shares * hits, FOLDS) / of_fold).sum())
    return float(GRID[np.argmin(losses)])


def _fit(problem: _Problem, c: float, weights: Array) -> Array:
    """The optima (K, 3), by proximal Newton steps from `weights`, each short enough to descend."""
    for _ in range(_STEPS):
        gradients, hessians = problem.slopes(weights)
        steps = _newton_steps(weights, gradients, hessians + _RIDGE, 1 / c)
        weights = weights + steps * _lengths(problem, weights, steps, 1 / c)[:, None]
        if (np.abs(steps).max(axis=1) < _CLOSE * (1 + np.abs(weights).max(axis=1))).all():
            break
    return weights


def _lengths(problem: _Problem, weights: Array, steps: Array, penalty: float) -> Array:
    """The share (K,) of each step to take: all of it, or halves of it until it descends."""
    lengths, farthest = np.ones(len(steps)), np.abs(steps @ problem.features).max(axis=1)
    if (farthest <= _SURE).all():
        return lengths
    before = problem.losses(weights) + penalty * np.abs(weights).sum(axis=1)
    while True:
        trial = weights + steps * lengths[:, None]
        ascends = problem.losses(trial) + penalty * np.abs(trial).sum(axis=1) > before
        ascends &= lengths * farthest > _SURE
        if not ascends.any():
            return lengths
        lengths[ascends] /= 2


def _newton_steps(weights: Array, gradients: Array, hessians: Array, penalty: float) -> Array:
    """For each row, the d that minimises gradient d + d' hessian d / 2 + penalty |weights + d|_1."""
    signs = np.sign(weights)
    steps: Array = np.linalg.solve(hessians, (-gradients - penalty * signs)[:, :, None])[:, :, 0].astype(np.float64)
    keeps_its_signs = ((weights + steps) * signs > 0).all(axis=1)
    for n in np.flatnonzero(~keeps_its_signs):
        steps[n] = _step_through_zero(weights[n], gradients[n], hessians[n], penalty)
    return steps


def _step_through_zero(weights: Array, gradient: Array, hessian: Array, penalty: float) -> Array:
    """The same where weights change their signs, or are zero: one weight after the other until none moves."""
    target, rows = weights.tolist(), hessian.tolist()
    linear = (gradient - hessian @ weights).tolist()
    for _ in range(200):
        change = 0.0
        for k, row in enumerate(rows):
            pull = row[k] * target[k] - linear[k] - sum(map(mul, row, target))
            value = math.copysign(max(abs(pull) - penalty, 0.0), pull) / row[k]
            change, target[k] = max(change, abs(value - target[k])), value
        if change < 1e-12 * (1 + max(map(abs, target))):
            break
    return np.array(target) - weights


def _influence(problem: _Problem, features: Array, preferences: Array, weights: Array) -> Array:
    """Each instruction's influence (N,) on the mean chance at equal length: through the rows present, and through the weights."""
    hessian = problem.slopes(weights[None])[1][0]
    equal = features * np.array([0.0, 1.0, 1.0])
    chances = _sigmoid(equal @ weights)
    sensitivity = (equal * (chances * (1 - chances))[:, None]).mean(axis=0)
    residual = features * (preferences - _sigmoid(features @ weights))[:, None]
    through_weights = residual @ np.linalg.lstsq(hessian, sensitivity, rcond=None)[0]
    return (chances - chances.mean()) / len(preferences) + through_weights


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(np.minimum(-logits, _LIMIT))), dtype=np.float64)

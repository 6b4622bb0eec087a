"""The length-controlled win rate of AlpacaEval 2: a logistic model of verdicts, asked what they were at equal length.

Dubois et al. 2024, arXiv:2404.04475. Rows are joined by instruction, and the optimum is exact.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evals.errors import UserError

Array = NDArray[np.float64]

GRID = np.logspace(-4, 4, 10)
FOLDS = 5
# The rows of the gamed baselines regularise the fit: half of lambda = 0.2 for each of the two.
GAMED_WEIGHT = 0.1
_CLIP = 1e-15


@dataclass(frozen=True)
class GamedRows:
    """Verdicts on baselines that were told to be verbose or concise: targets in [0, 1], features (G, 3), the third of them 0."""

    features: Array
    targets: Array


@dataclass(frozen=True)
class LengthControl:
    """A fitted model: weights of length, difficulty and intercept; `c` the inverse strength of the L1 penalty.

    `win_rate` and `standard_error` are in percent; the error is the sandwich estimate, clustered by instruction.
    """

    weights: tuple[float, float, float]
    c: float
    win_rate: float
    standard_error: float


@dataclass(frozen=True)
class _Problem:
    """Minimise |w|_1 + c sum_i s_i (softplus(x_i w) - y_i x_i w); rows (N, 3), `targets` and `shares` (N,)."""

    features: Array
    targets: Array
    shares: Array

    @cached_property
    def _pull(self) -> Array:
        return self.features.T @ (self.shares * self.targets)

    def loss(self, logits: Array, weights: Array) -> float:
        """The smooth part, without c."""
        return float(self.shares @ np.logaddexp(0, logits) - self._pull @ weights)

    def slopes(self, logits: Array) -> tuple[Array, Array]:
        """Gradient (3,) and Hessian (3, 3) of the smooth part."""
        chances = _sigmoid(logits)
        curvature = self.features * (self.shares * chances * (1 - chances))[:, None]
        return self.features.T @ (self.shares * chances) - self._pull, self.features.T @ curvature

    def keep(self, rows: NDArray[np.bool_]) -> "_Problem":
        """Some of the rows."""
        return _Problem(self.features[rows], self.targets[rows], self.shares[rows])


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
    problem = _Problem(np.concatenate([gamed.features, features]), np.concatenate([gamed.targets, preferences]), shares)
    chosen = _cross_validated(problem) if c is None else c
    weights = _fit(problem, chosen)
    at_equal_length = _sigmoid(features[:, 1:] @ weights[1:])
    error = _standard_error(problem, features, preferences, weights)
    length, hard, intercept = map(float, weights)
    return LengthControl((length, hard, intercept), float(chosen), 100 * float(at_equal_length.mean()), 100 * error)


def _normalised(difference: Array) -> Array:
    """Tanh of the difference in its own deviations; lengths that never differ say nothing."""
    deviation = difference.std(ddof=1) if len(difference) > 1 else 0.0
    return np.tanh(difference / deviation) if deviation > 0 else difference * 0.0


def _cross_validated(problem: _Problem) -> float:
    """The c of the grid with the least log loss on rows left out; rows are dealt to folds from the last to the first."""
    count = len(problem.targets)
    fold = (count - 1 - np.arange(count)) % FOLDS
    losses = np.zeros(len(GRID))
    for left_out in range(FOLDS):
        learned, held = problem.keep(fold != left_out), problem.keep(fold == left_out)
        weights = np.zeros(3)
        for number, c in enumerate(GRID):
            weights = _fit(learned, c, weights)
            chances = _sigmoid(held.features @ weights).clip(_CLIP, 1 - _CLIP)
            hits = held.targets * np.log(chances) + (1 - held.targets) * np.log1p(-chances)
            losses[number] -= held.shares @ hits / held.shares.sum()
    return float(GRID[losses.argmin()])


def _fit(problem: _Problem, c: float, start: Array | None = None) -> Array:
    """The optimum (3,) by proximal Newton steps."""
    weights, penalty = (np.zeros(3) if start is None else start), 1 / c
    logits = problem.features @ weights
    value = problem.loss(logits, weights) + penalty * np.abs(weights).sum()
    for _ in range(100):
        gradient, hessian = problem.slopes(logits)
        step = _newton_step(weights, gradient, hessian + 1e-12 * np.eye(3), penalty)
        if np.abs(step).max() < 1e-9 * (1 + np.abs(weights).max()):
            break
        length = 1.0
        while True:
            trial = weights + length * step
            trial_logits = problem.features @ trial
            trial_value = problem.loss(trial_logits, trial) + penalty * np.abs(trial).sum()
            if trial_value <= value or length < 1e-6:
                break
            length /= 2
        if trial_value > value:
            break
        weights, logits, value = trial, trial_logits, trial_value
    return weights


def _newton_step(weights: Array, gradient: Array, hessian: Array, penalty: float) -> Array:
    """The d that minimises gradient d + d' hessian d / 2 + penalty |weights + d|_1."""
    signs = np.sign(weights)
    if signs.all():
        step: Array = np.linalg.solve(hessian, -gradient - penalty * signs).astype(np.float64)
        if (np.sign(weights + step) == signs).all():
            return step
    target, linear = weights.copy(), gradient - hessian @ weights
    for _ in range(200):
        before = target.copy()
        for k in range(3):
            pull = hessian[k, k] * target[k] - linear[k] - hessian[k] @ target
            target[k] = np.sign(pull) * max(abs(pull) - penalty, 0.0) / hessian[k, k]
        if np.abs(target - before).max() < 1e-12 * (1 + np.abs(target).max()):
            break
    return target - weights


def _standard_error(problem: _Problem, features: Array, preferences: Array, weights: Array) -> float:
    """Sandwich standard error of the mean chance at equal length; instructions are the independent units."""
    _, hessian = problem.slopes(problem.features @ weights)
    equal = features * np.array([0.0, 1.0, 1.0])
    chances = _sigmoid(equal @ weights)
    sensitivity = (equal * (chances * (1 - chances))[:, None]).mean(axis=0)
    residual = features * (preferences - _sigmoid(features @ weights))[:, None]
    through_weights = residual @ np.linalg.lstsq(hessian, sensitivity, rcond=None)[0]
    influence = (chances - chances.mean()) / len(preferences) + through_weights
    return float(np.sqrt((influence**2).sum()))


def _sigmoid(logits: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float64)

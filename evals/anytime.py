"""Bounds on a mean difference that hold however often one looks: tests by betting, on verdicts that come in.

Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", arXiv:2010.09686; the stakes are spread over a
grid as in Orabona & Jun 2023, arXiv:2110.14099. Whoever bets against a true hypothesis has the wealth 1 / a with a chance of at most a,
at any time (Ville's inequality).

With a fixed stake the wealth depends on which verdicts there are and not on their order. It stays fair where prompts are stratified: the
mean of a product of independent factors is at most the power of the mean factor (of the arithmetic and the geometric mean).
"""

from functools import cache

import numpy as np
import numpy.typing as npt

# Shares of the largest stake that cannot lose more than all. The best is about (mean / variance) times the range, which this spans.
_STAKES = 8
_SMALLEST, _LARGEST = 0.02, 0.99
_HALVINGS = 30


def log_wealth(differences: npt.ArrayLike, mean: float = 0.0) -> float:
    """The logarithm of the wealth won by betting that differences in [-1, 1] have a mean below `mean`, from 1.

    Where their mean is `mean` or more, the wealth ever reaches 1 / a with a probability of a at most.
    """
    shortfall = (mean - np.asarray(differences, dtype=float)) / (1 - mean)
    wealth = np.log1p(np.outer(_stakes(), shortfall)).sum(axis=1)
    top = wealth.max()
    return float(top + np.log(np.exp(wealth - top).mean()))


def upper_bound(differences: npt.ArrayLike, error_rate: float) -> float:
    """What the mean of differences in [-1, 1] does not exceed, but for a chance of `error_rate`; 1 while nothing is known."""
    low, high, enough = -1.0, 1.0, -np.log(error_rate)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if log_wealth(differences, middle) >= enough else (middle, high)
    return high


@cache
def _stakes() -> npt.NDArray[np.float64]:
    return np.geomspace(_SMALLEST, _LARGEST, _STAKES)

"""Alignment potential (M_AP): pairs whose explicit margin is large and whose implicit margin is still small teach the most."""

import numpy as np

from orchestrator.errors import DataFormatError
from orchestrator.selection.rewards import Values, standardised


def alignment_potential(explicit_margin: Values, implicit_margin: Values, weight: float = 1.0) -> np.ndarray:
    """The potential of N pairs, (N,) float64: z(explicit) - weight z(implicit), z with the population's deviation.

    `explicit_margin` is |r(yw) - r(yl)| of a reward model, `implicit_margin` | lw/Lw - ll/Ll | under the model about to be trained, in
    nats per token. A margin that does not vary over the pairs says nothing and counts 0. Raises DataFormatError when the lengths
    differ or there is no pair. arXiv:2503.01864.
    """
    if len(explicit_margin) != len(implicit_margin) or not len(explicit_margin):
        raise DataFormatError(
            f"{len(explicit_margin)} explicit margins and {len(implicit_margin)} implicit ones",
            "selection",
            "give one of each for every pair",
        )
    return standardised(explicit_margin)[0] - weight * standardised(implicit_margin)[0]


def share_of(count: int, ratio: float) -> int:
    """How many of `count` the share `ratio` is, rounded down; at least one."""
    # 0.29 of 100 is 29, and in floats a little less.
    return max(1, int(count * ratio + 1e-9))


def top_pairs(potential: np.ndarray, ratio: float) -> list[int]:
    """Indices of the share `ratio` of pairs with the highest potential, from the lowest of them to the highest; at least one."""
    return np.argsort(potential, kind="stable")[-share_of(len(potential), ratio) :].tolist()

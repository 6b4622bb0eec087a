"""What effort buys: the best win rate to expect from so many trials of a method."""

from collections.abc import Sequence

import numpy as np

from orchestrator.search.leaderboard import BASE, Row


def expected_best(values: Sequence[float]) -> list[float]:
    """The best value to expect of 1, 2, ... of the trials, drawn without replacement (Dodge et al. 2019, arXiv:1909.03004).

    The chance that the value of a place, from the worst, is the best of `drawn` is C(place, drawn - 1) / C(count, drawn).
    """
    ranked, count = np.array(sorted(values), dtype=float), len(values)
    place, chance, expected = np.arange(count), np.full(count, 1 / max(1, count)), []
    for drawn in range(1, count + 1):
        expected.append(float(ranked @ chance))
        # The next chance by its ratio to this one: binomials of thousands of trials are no floats.
        chance *= np.maximum(0, place - drawn + 1) * ((drawn + 1) / (drawn * max(1, count - drawn)))
    return expected


def curves(rows: Sequence[Row]) -> dict[str, list[float]]:
    """`expected_best` of each method, by the number of its trials; one that was stopped counts with the score it stands at."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.trial != BASE and row.win_rate is not None:
            values.setdefault(row.method, []).append(row.win_rate)
    return {method: expected_best(found) for method, found in values.items()}

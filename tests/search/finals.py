"""Searches with a known truth, as their ledgers tell them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.search.ledger import Event
from orchestrator.search.trial import Trial
from tests.search import events as made

NOISE = 0.2


@dataclass(frozen=True)
class Finals:
    """True win rates of the finalists, by which method; what prompts and seeds add; `seed_deviation` in shares, as the rates are."""

    rates: Mapping[str, float]
    prompts: int = 60
    seeds: int = 1
    seed_deviation: float = 0.0

    def events(self, chance: np.random.Generator) -> list[Event]:
        """A ledger: each finalist once on the search's prompts, and each of its seeds on fresh ones."""
        shared = NOISE * chance.standard_normal(self.prompts)
        found: list[Event] = []
        for name, rate in self.rates.items():
            own = shared + NOISE / 2 * chance.standard_normal(self.prompts)
            found += [made.joined(Trial(name, name.split("-")[0], {"beta": 0.1}, {})), made.scored(name, 10, 60.0)]
            for seed in range(self.seeds):
                level = rate + self.seed_deviation * chance.standard_normal()
                found.append(made.held_out(name, noisy(level + own, chance), seed))
        return found


def noisy(levels: np.ndarray, chance: np.random.Generator) -> dict[str, float | None]:
    """Verdicts around these levels, by prompt."""
    return made.verdicts(*np.clip(levels + NOISE * chance.standard_normal(len(levels)), 0, 1).tolist())

"""From the margins of pairs to those that are trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.sequences import rewards_of
from orchestrator.selection.alignment_potential import alignment_potential, share_of, top_pairs
from orchestrator.selection.rejection_sampling import is_accepted
from orchestrator.selection.rewards import standardised
from orchestrator.settings.selection import SelectionSettings

_NO_REWARDS = "give `chosen_reward` and `rejected_reward` in every row, or select by random or implicit_margin"


@dataclass(frozen=True)
class Margins:
    """Of N pairs: `explicit` (N,), r(yw) - r(yl), NaN without rewards; `implicit` (N,), | lw/Lw - ll/Ll | in nats a token, if known."""

    explicit: np.ndarray
    implicit: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.explicit)

    @property
    def apart(self) -> np.ndarray:
        """How far apart the rewards of each pair are, (N,), whichever response has the higher one."""
        return np.abs(self.explicit)

    def of(self, pairs: np.ndarray) -> "Margins":
        """Those of some of the pairs."""
        return Margins(self.explicit[pairs], None if self.implicit is None else self.implicit[pairs])

    def known_implicit(self) -> np.ndarray:
        """The implicit margins. Raises ValueError when no model has scored the pairs."""
        if self.implicit is None:
            raise ValueError("the pairs' implicit margins were not measured")
        return self.implicit


def explicit_margins(pairs: Sequence[TokenizedPair] | Sequence[PreferencePair]) -> np.ndarray:
    """How far the reward of each pair's chosen response is above the rejected one's, (N,) float64; NaN where the data has none."""
    chosen, rejected = rewards_of(pairs)
    return chosen - rejected


def _random(settings: SelectionSettings, margins: Margins) -> np.ndarray:
    return np.random.default_rng(settings.seed).random(len(margins))


# The higher, the sooner a pair is kept: (N,) float64. The first three as the authors of M_AP rank, arXiv:2503.01864.
METRICS: Mapping[str, Callable[[SelectionSettings, Margins], np.ndarray]] = {
    "alignment_potential": lambda settings, pairs: alignment_potential(pairs.apart, pairs.known_implicit(), settings.weight),
    "reward_margin": lambda settings, pairs: standardised(pairs.apart)[0],
    "implicit_margin": lambda settings, pairs: -standardised(pairs.known_implicit())[0],
    "random": _random,
}


def selected(settings: SelectionSettings, margins: Margins) -> Sequence[int]:
    """Which of N pairs are kept, in the order of the data. Raises DataFormatError for rewards that are absent, or when no pair is left."""
    if settings.metric == "all":
        return range(len(margins))
    pool = _pool(settings, margins)
    if settings.metric == "rejection_sampling":
        return pool.tolist()
    potential = METRICS[settings.metric](settings, margins.of(pool))
    return sorted(pool[top_pairs(potential, settings.fraction)].tolist())


def count_selected(settings: SelectionSettings, explicit: np.ndarray) -> int:
    """How many pairs are kept, which the rewards alone say."""
    if settings.metric == "all":
        return len(explicit)
    pool = _pool(settings, Margins(explicit))
    return len(pool) if settings.metric == "rejection_sampling" else share_of(len(pool), settings.fraction)


def _pool(settings: SelectionSettings, margins: Margins) -> np.ndarray:
    """The pairs that may be kept: of equal rewards none, for their order says nothing."""
    unknown = np.isnan(margins.explicit)
    if settings.needs_rewards and unknown.any():
        raise DataFormatError(
            f"{settings.metric} needs rewards, and pair {int(unknown.argmax()) + 1} of the data has none", "selection.metric", _NO_REWARDS
        )
    may = unknown | (margins.apart > 0)
    if settings.metric == "rejection_sampling":
        may = is_accepted(margins.explicit, settings.tau, settings.eta)
    if not may.any():
        what = f"{settings.metric} keeps none of {len(margins)} pairs"
        raise DataFormatError(what, "selection", "lower `eta` or `tau`, or look whether the rewards differ, and are higher for the chosen")
    return np.flatnonzero(may)

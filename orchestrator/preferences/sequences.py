"""Sequences of pairs as wholes: one behind the other, and what some of them know without being read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from orchestrator.preferences.pairs import TokenizedPair


@dataclass(frozen=True)
class JoinedPairs(Sequence[TokenizedPair]):
    """The pairs of `first`, then those of `second`."""

    first: Sequence[TokenizedPair]
    second: Sequence[TokenizedPair]

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    @overload
    def __getitem__(self, index: int) -> TokenizedPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedPair]: ...
    def __getitem__(self, index: int | slice) -> TokenizedPair | list[TokenizedPair]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self.first[index] if index < len(self.first) else self.second[index - len(self.first)]

    @property
    def digest(self) -> str | None:
        """A name for the content, where both parts have one."""
        digests = [digest_of(part) for part in (self.first, self.second)]
        return " ".join(known) if len(known := [each for each in digests if each is not None]) == len(digests) else None


def digest_of(pairs: Sequence[TokenizedPair]) -> str | None:
    """The name that a sequence of pairs has for its content; None for one that has to be read to know."""
    return getattr(pairs, "digest", None)


def rewards_of(pairs: Sequence[TokenizedPair]) -> np.ndarray:
    """The rewards of the chosen and of the rejected responses, (2, N) float64; NaN where the data has none."""
    known: np.ndarray | None = getattr(pairs, "rewards", None)
    if known is not None:
        return known
    return np.array([(pair.chosen_reward, pair.rejected_reward) for pair in pairs], dtype=np.float64).reshape(-1, 2).T

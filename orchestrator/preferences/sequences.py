"""Sequences of pairs as wholes: one behind the other, and what some of them know without being read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from orchestrator.preferences.pairs import PreferencePair, TokenizedPair


class LazyPairs(Sequence[TokenizedPair]):
    """Pairs that are made when they are looked at: a subclass says how many there are, and which one is at a place from 0 on."""

    def at(self, place: int) -> TokenizedPair:
        """The pair at a place that there is."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> TokenizedPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedPair]: ...
    def __getitem__(self, index: int | slice) -> TokenizedPair | list[TokenizedPair]:
        places = range(len(self))[index]
        return self.at(places) if isinstance(places, int) else [self.at(place) for place in places]


@dataclass(frozen=True)
class JoinedPairs(LazyPairs):
    """The pairs of `first`, then those of `second`."""

    first: Sequence[TokenizedPair]
    second: Sequence[TokenizedPair]

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def at(self, place: int) -> TokenizedPair:
        """A pair of one of them."""
        return self.first[place] if place < len(self.first) else self.second[place - len(self.first)]

    @property
    def digest(self) -> str | None:
        """A name for the content, where both parts have one."""
        digests = [digest_of(part) for part in (self.first, self.second)]
        return " ".join(known) if len(known := [each for each in digests if each is not None]) == len(digests) else None


def digest_of(pairs: Sequence[TokenizedPair]) -> str | None:
    """The name that a sequence of pairs has for its content; None for one that has to be read to know."""
    return getattr(pairs, "digest", None)


def content_of(pairs: Sequence[TokenizedPair]) -> str:
    """A name that only pairs of the same tokens and rewards in the same order have."""
    if (known := digest_of(pairs)) is not None:
        return known
    digest = hashlib.sha256()
    for pair in pairs:
        rewards = (pair.chosen_reward, pair.rejected_reward, *pair.other_rewards)
        digest.update(repr(rewards).encode())
        for tokens in (pair.prompt, pair.chosen, pair.rejected, pair.mismatched, *pair.others):
            digest.update(len(tokens).to_bytes(8, "little") + np.asarray(tokens, dtype=np.int64).tobytes())
    return digest.hexdigest()[:32]


def rewards_of(pairs: Sequence[TokenizedPair] | Sequence[PreferencePair]) -> np.ndarray:
    """The rewards of the chosen and of the rejected responses, (2, N) float64; NaN where the data has none."""
    known: np.ndarray | None = getattr(pairs, "rewards", None)
    if known is not None:
        return known
    return np.array([(pair.chosen_reward, pair.rejected_reward) for pair in pairs], dtype=np.float64).reshape(-1, 2).T

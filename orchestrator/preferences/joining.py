"""Sequences of pairs one behind the other, none of which is copied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

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

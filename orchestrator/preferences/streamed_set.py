"""A data set of token shards: the pairs that are trained on and those that are held out, read when they are looked at."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.preferences.rows import BadRow, SetAside
from orchestrator.preferences.sequences import LazyPairs
from orchestrator.preferences.token_shards import Shard, is_whole_shard, open_shard, shard_file
from orchestrator.preferences.tokenization import mismatched_side

COMPLETE = "set.json"


@dataclass(frozen=True)
class ShardedRows:
    """The shards of all sources in order. Of shard s, pairs count from `starts[s]`, and the first `rooms[s]` are taken, None for all."""

    files: Sequence[Path]
    starts: Sequence[int]
    rooms: Sequence[int | None]

    def at(self, place: int) -> tuple[Shard, int]:
        """The shard that has a pair, and the pair's number in it."""
        shard = bisect_right(self.starts, place) - 1
        return open_shard(self.files[shard]), place - self.starts[shard]

    def unused(self) -> Iterator[BadRow | SetAside]:
        """The rows that cannot be read, up to where pairs are taken, then those that prefer nothing."""
        for kind in (BadRow, SetAside):
            for file, room in zip(self.files, self.rooms, strict=True):
                shard = Shard(file)
                for each in shard.unused() if shard.told["unused"] else ():
                    if isinstance(each.row, kind) and (room is None or each.before < room):
                        yield each.row


@dataclass(frozen=True, eq=False)
class StreamedPairs(LazyPairs):
    """Pairs by their `places` (N,) among those of all shards; their tokens are read when they are looked at.

    `after` (N,) are the numbers of the pairs that give the mismatched responses, as in `tokenize`. `rewards` (2, N) are the chosen and the
    rejected responses', NaN where there are none; `digest` is a name for the content.
    """

    rows: ShardedRows
    places: np.ndarray
    after: np.ndarray
    rewards: np.ndarray
    context: int
    digest: str

    def __len__(self) -> int:
        return len(self.places)

    def at(self, place: int) -> TokenizedPair:
        """A pair, read from its shard."""
        shard, number = self.rows.at(int(self.places[place]))
        pair = shard.pair(number)
        shard, number = self.rows.at(int(self.places[self.after[place]]))
        response = shard.side(mismatched_side(place), number)
        return replace(pair, mismatched=response[: self.context - len(pair.prompt)])


class UnusedRows:
    """The rows that gave no pair to train on, read each time: those that cannot be read, prefer nothing, or do not fit."""

    def __init__(self, rows: ShardedRows, unfit: np.ndarray) -> None:
        self._rows, self._unfit = rows, unfit

    def __iter__(self) -> Iterator[BadRow | SetAside]:
        yield from self._rows.unused()
        # Sources may have a row in common.
        told: set[str] = set()
        for place in self._unfit.tolist():
            shard, number = self._rows.at(place)
            if (row := shard.unfit[number]).origin not in told:
                told.add(row.origin)
                yield row


class StreamedSet:
    """A data set as `set_planning.plan_set` left it in `directory`; its shards lie below `shards`."""

    def __init__(self, directory: Path, shards: Path) -> None:
        told = json.loads((directory / COMPLETE).read_text(encoding="utf-8"))
        self._directory, self._context, self._digest = directory, told["context"], told["digest"]
        self._rows = ShardedRows([shard_file(shards, name) for name in told["shards"]], told["starts"], told["rooms"])
        self.kinds: tuple[str, ...] = tuple(told["kinds"])
        self.identical: int = told["identical"]

    @cached_property
    def pairs(self) -> StreamedPairs:
        """The pairs to train on."""
        return self._pairs("train")

    @cached_property
    def validation(self) -> StreamedPairs:
        """The pairs that are held out."""
        return self._pairs("validation")

    @property
    def unused(self) -> UnusedRows:
        """The rows that gave no pair to train on."""
        return UnusedRows(self._rows, self._array("unfit"))

    def _pairs(self, name: str) -> StreamedPairs:
        places, after, rewards = (self._array(f"{name}{part}") for part in ("", "_after", "_rewards"))
        return StreamedPairs(self._rows, places, after, rewards, self._context, f"{self._digest} {name}")

    def _array(self, name: str) -> np.ndarray:
        return np.load(self._directory / f"{name}.npy", mmap_mode="r" if name.startswith("train") else None)


def is_complete(directory: Path, shards: Path) -> bool:
    """Whether a whole set lies in `directory`, and each of its shards below `shards`, whole too: a cache may have been tidied."""
    file = directory / COMPLETE
    return file.is_file() and all(
        is_whole_shard(shard_file(shards, name)) for name in json.loads(file.read_text(encoding="utf-8"))["shards"]
    )

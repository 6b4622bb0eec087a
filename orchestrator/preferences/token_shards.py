"""Tokenised pairs in files: a shard is an Arrow file, named by all that decides its content, whose tokens are read where they lie."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np

from evals.whole_files import is_damage, written_beside
from orchestrator.preferences.holding_out import KEY_BYTES
from orchestrator.preferences.mixing import CONTENT_KEY_BYTES
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.preferences.rows import BadRow, SetAside

# Pairs of a shard that are trained on; whose responses truncation made the same; that do not fit, or that the template refuses.
USABLE, IDENTICAL, UNFIT = range(3)
_SIDES, _REWARDS = ("prompt", "chosen", "rejected"), ("chosen_reward", "rejected_reward")


class MappedTokens(Sequence[int]):
    """Token ids that lie in a file: their number is known, and they are read when they are looked at. Equal to a tuple of the same."""

    __slots__ = ("_values",)

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> "MappedTokens": ...
    def __getitem__(self, place: int | slice) -> "int | MappedTokens":
        return MappedTokens(self._values[place]) if isinstance(place, slice) else int(self._values[place])

    def __iter__(self) -> Iterator[int]:
        return iter(self._values.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MappedTokens | tuple) and len(self) == len(other) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


@dataclass(frozen=True)
class Unused:
    """A row that gives no pair to train on; `before` pairs of its shard come before it."""

    before: int
    row: BadRow | SetAside


@dataclass(frozen=True)
class Content:
    """What a shard is written from: pairs, None for those that cannot be tokenised, and what there is to say of the rows.

    `kinds` counts formats by file. `content_keys` are given where a mixture draws among the pairs by their content.
    """

    pairs: Sequence[TokenizedPair | None]
    prompt_keys: Sequence[bytes]
    content_keys: Sequence[bytes]
    kinds: Mapping[str, Mapping[str, int]]
    unused: Sequence[Unused]
    unfit: Mapping[int, BadRow]


class Shard:
    """A shard that was opened: N pairs, whose tokens stay in the file until they are looked at."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        # Closed at once: what was mapped stays so for as long as somebody looks at it, and takes no file descriptor.
        with pa.memory_map(str(file)) as content:
            self._batch = pa.ipc.open_file(content).get_batch(0)

    def __len__(self) -> int:
        return self._batch.num_rows

    def pair(self, number: int) -> TokenizedPair:
        """One pair, without a mismatched response."""
        prompt, chosen, rejected = (self.side(name, number) for name in _SIDES)
        start, end = self._others[0][number : number + 2]
        inner, values = self._others[1:]
        others = tuple(MappedTokens(values[inner[place] : inner[place + 1]]) for place in range(start, end))
        better, worse = (None if np.isnan(side[number]) else float(side[number]) for side in self._rewards)
        return TokenizedPair(prompt, chosen, rejected, better, worse, others, tuple(self._other_rewards[start:end].tolist()))

    def side(self, name: str, number: int) -> MappedTokens:
        """The "prompt", the "chosen" or the "rejected" response of one pair."""
        ends, values = self._sides[name]
        return MappedTokens(values[ends[number] : ends[number + 1]])

    def column(self, name: str) -> np.ndarray:
        """A column of the pairs, (N,), in memory: `state`, a reward or a key."""
        found = self._batch.column(name)
        if name.endswith("_key"):
            return np.array(found.to_pylist(), f"S{found.type.byte_width}")
        return found.to_numpy(zero_copy_only=False).copy()

    @cached_property
    def told(self) -> Mapping[str, Any]:
        """What is said of the rows: the counts of their kinds, and how many of them give no pair."""
        return json.loads(self._batch.schema.metadata[b"told"])

    def unused(self) -> list[Unused]:
        """The rows that cannot be read or prefer nothing."""
        found = json.loads(self._batch.schema.metadata[b"unused"])
        return [Unused(each["before"], (SetAside if each["aside"] else BadRow)(**each["row"])) for each in found]

    @cached_property
    def unfit(self) -> Mapping[int, BadRow]:
        """Why pairs cannot be tokenised, by their number."""
        return {int(number): BadRow(**row) for number, row in json.loads(self._batch.schema.metadata[b"unfit"]).items()}

    @cached_property
    def _sides(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        columns = {name: self._batch.column(name) for name in _SIDES}
        return {name: (column.offsets.to_numpy(), column.values.to_numpy()) for name, column in columns.items()}

    @cached_property
    def _others(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        column = self._batch.column("others")
        return column.offsets.to_numpy(), column.values.offsets.to_numpy(), column.values.values.to_numpy()

    @cached_property
    def _other_rewards(self) -> np.ndarray:
        return self._batch.column("other_rewards").values.to_numpy()

    @cached_property
    def _rewards(self) -> tuple[np.ndarray, np.ndarray]:
        chosen, rejected = (self._batch.column(name).to_numpy(zero_copy_only=False) for name in _REWARDS)
        return chosen, rejected


@lru_cache(maxsize=128)
def open_shard(file: Path) -> Shard:
    """The shard of a file, which stays open for a while."""
    return Shard(file)


def shard_file(directory: Path, name: str) -> Path:
    """Where the shard of a name lies."""
    return directory / name[:2] / f"{name}.arrow"


def is_whole_shard(file: Path) -> bool:
    """Whether a shard is there and ends as it was written: a machine that lost its power may have left less of it."""
    import pyarrow as pa

    try:
        Shard(file)
    except (OSError, pa.ArrowException) as error:
        if not is_damage(error):
            raise
        return False
    return True


def write_shard(file: Path, content: Content) -> None:
    """Write a shard whole or not at all; several may write the same one at a time."""
    import pyarrow as pa

    batch = _batch(content)
    with written_beside(file) as partial, pa.OSFile(str(partial), "wb") as out, pa.ipc.new_file(out, batch.schema) as writer:
        writer.write_batch(batch)


def _batch(content: Content) -> Any:
    import pyarrow as pa

    tokens, rewards = pa.list_(pa.int32()), pa.list_(pa.float64())
    missing = TokenizedPair((), (), ())
    pairs = [missing if pair is None else pair for pair in content.pairs]
    states = [UNFIT if pair is missing else IDENTICAL if pair.chosen == pair.rejected else USABLE for pair in pairs]
    columns = {side: pa.array([list(getattr(pair, side)) for pair in pairs], tokens) for side in _SIDES}
    columns |= {side: pa.array([getattr(pair, side) for pair in pairs], pa.float64()) for side in _REWARDS}
    columns["others"] = pa.array([[list(other) for other in pair.others] for pair in pairs], pa.list_(tokens))
    columns["other_rewards"] = pa.array([list(pair.other_rewards) for pair in pairs], rewards)
    columns["state"] = pa.array(states, pa.int8())
    columns["prompt_key"] = pa.array(content.prompt_keys, pa.binary(KEY_BYTES))
    columns["content_key"] = pa.array(content.content_keys or [None] * len(pairs), pa.binary(CONTENT_KEY_BYTES))
    return pa.record_batch(columns, metadata=_metadata(content))


def _metadata(content: Content) -> dict[str, str]:
    told = {"kinds": content.kinds, "unused": len(content.unused), "unfit": len(content.unfit)}
    unused = [{"before": each.before, "aside": isinstance(each.row, SetAside), "row": asdict(each.row)} for each in content.unused]
    unfit = {number: asdict(row) for number, row in content.unfit.items()}
    return {name: json.dumps(value, default=str) for name, value in (("told", told), ("unused", unused), ("unfit", unfit))}

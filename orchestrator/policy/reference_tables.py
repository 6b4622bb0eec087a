"""Reference scores of a whole data set, as a run looks them up: in files that are mapped into memory, so that they need not fit there."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from evals.whole_files import replacing_bytes
from orchestrator.policy.scoring import ReferenceScores
from orchestrator.preferences.pairs import TokenizedPair

_AT_ONCE = 4096
_TOKENS, _ENDS, _MISMATCHED = "tokens.npy", "ends.npy", "mismatched.npy"


@dataclass(frozen=True, eq=False)
class ReferenceTable:
    """Log-probabilities of all response tokens of N pairs, end to end: pair n's are `tokens[ends[n - 1] : ends[n]]`, response by response.

    `mismatched` (N,) sums over each pair's mismatched response, where it was asked for.
    """

    tokens: Tensor
    ends: Sequence[int] | np.ndarray
    mismatched: Tensor | None = None

    def mean_margins(self, pairs: Sequence[TokenizedPair]) -> np.ndarray:
        """| lw/Lw - ll/Ll | of the first `pairs`, (N,) float64: how far apart the model holds chosen and rejected, in nats a token."""
        some = [range(start, min(start + _AT_ONCE, len(pairs))) for start in range(0, len(pairs), _AT_ONCE)]
        return np.concatenate([self._mean_margins(pairs, numbers) for numbers in some]) if some else np.zeros(0)

    def of(self, pairs: Sequence[int]) -> ReferenceScores:
        """The scores of some pairs, as a batch of them has them."""
        found = [self.tokens[self._start(pair) : int(self.ends[pair])] for pair in pairs]
        return ReferenceScores(torch.cat(found), None if self.mismatched is None else self.mismatched[list(pairs)])

    def _start(self, pair: int) -> int:
        return int(self.ends[pair - 1]) if pair else 0

    def _mean_margins(self, pairs: Sequence[TokenizedPair], numbers: range) -> np.ndarray:
        """Those of neighbouring pairs."""
        begin, stops = self._start(numbers[0]), np.asarray(self.ends[numbers[0] : numbers[-1] + 1])
        sums = np.concatenate([[0.0], np.cumsum(self.tokens[begin : int(stops[-1])].double().numpy())])
        lengths = np.array([(len(pair.chosen), len(pair.rejected)) for pair in (pairs[number] for number in numbers)])
        starts = np.array([begin, *stops[:-1]]) - begin
        middles = starts + lengths[:, 0]
        ends = middles + lengths[:, 1]
        chosen, rejected = ((sums[end] - sums[start]) / (end - start) for start, end in ((starts, middles), (middles, ends)))
        return np.abs(chosen - rejected)


@dataclass(frozen=True)
class MixedTables:
    """The weighted sum of log-probabilities: up to a constant that pairs do not see, the log of a product of powers of the models."""

    tables: Sequence[tuple[ReferenceTable, float]]

    def of(self, pairs: Sequence[int]) -> ReferenceScores:
        """The scores of some pairs, as a batch of them has them."""
        found = [(table.of(pairs), weight) for table, weight in self.tables]
        tokens = torch.stack([scores.tokens * weight for scores, weight in found]).sum(0)
        sums = [scores.mismatched * weight for scores, weight in found if scores.mismatched is not None]
        return ReferenceScores(tokens, torch.stack(sums).sum(0) if len(sums) == len(found) else None)


def lay_out(files: Any, shares: Sequence[str], place: Path, dtype: torch.dtype) -> None:
    """Write Parquet files, which have the pairs in any order, as arrays in the order of the pairs; one file at a time is in memory.

    Each array takes its place whole: several may write the same ones at a time. Raises OSError for a disk that is full.
    """
    columns = [_columns(files, share) for share in shares]
    by_pair = np.argsort(np.concatenate([column.pairs for column in columns]))
    ends = np.cumsum(np.concatenate([column.lengths for column in columns])[by_pair], dtype=np.int64)
    kind = torch.empty(0, dtype=dtype).numpy().dtype
    with replacing_bytes(place / _TOKENS) as content:
        _write_tokens(files, shares, content, kind, ends)
    known = [column.sums for column in columns if column.sums is not None]
    if len(known) == len(columns):
        with replacing_bytes(place / _MISMATCHED) as content:
            np.save(content, np.concatenate(known)[by_pair].astype(kind))
    # The last one: without it nothing is there.
    with replacing_bytes(place / _ENDS) as content:
        np.save(content, ends)


def table_in(place: Path) -> ReferenceTable | None:
    """The table that was laid out there; None without a whole one: a disk that was full, or a machine that lost its power, leaves less."""
    try:
        table = mapped_table(place)
    except (FileNotFoundError, EOFError, ValueError):
        return None
    return table if len(table.tokens) == (int(table.ends[-1]) if len(table.ends) else 0) else None


def mapped_table(place: Path) -> ReferenceTable:
    """The table that was laid out there, which the processes of a machine have in memory once."""
    sums = place / _MISMATCHED
    mismatched = _mapped(sums) if sums.is_file() else None
    return ReferenceTable(_mapped(place / _TOKENS), np.load(place / _ENDS, mmap_mode="r"), mismatched)


def _mapped(file: Path) -> Tensor:
    with warnings.catch_warnings():
        # Nobody writes to it; a mapping that could be written to would count as memory.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(np.load(file, mmap_mode="r"))


@dataclass(frozen=True)
class _Columns:
    """The pairs of a file, how many tokens each has, and the sums over mismatched responses, if all are there."""

    pairs: np.ndarray
    lengths: np.ndarray
    sums: np.ndarray | None


def _columns(files: Any, share: str) -> _Columns:
    table = _read(files, share, None)
    lengths = np.diff(table["logps"].combine_chunks().offsets.to_numpy())
    return _Columns(table["pair"].to_numpy(), lengths, None if table["mismatched"].null_count else table["mismatched"].to_numpy())


def _write_tokens(files: Any, shares: Sequence[str], content: IO[bytes], kind: np.dtype, ends: np.ndarray) -> None:
    """Write each pair's tokens where they belong. Not through a mapping, to which a full disk is the end of the process."""
    described = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (int(ends[-1]),)}
    np.lib.format.write_array_header_1_0(content, described)
    begin = content.tell()
    for share in shares:
        table = _read(files, share, ["pair", "logps"])
        column = table["logps"].combine_chunks()
        values, offsets = column.values.to_numpy().astype(kind), column.offsets.to_numpy()
        for pair, (start, end) in zip(table["pair"].to_pylist(), pairwise(offsets), strict=True):
            content.seek(begin + int(ends[pair] - (end - start)) * kind.itemsize)
            content.write(values[start:end])


def _read(files: Any, share: str, columns: Sequence[str] | None) -> Any:
    """A file of shares, or some of its columns. Raises what `is_damage` knows for one that is damaged."""
    import pyarrow.parquet as pq

    return pq.read_table(share, filesystem=files, columns=columns, page_checksum_verification=True)

"""Reference log-probabilities of every token, computed once for a base model and a tokenised data set and shared by every trial."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orchestrator.policy.scoring import ReferenceScores
from orchestrator.preferences.pairs import TokenizedPair

# Raised when batches are laid out or scored otherwise, so that scores of another code path are never mixed in.
_CODE = "tokens-1"
_COMPLETE = "complete.json"


@dataclass(frozen=True, eq=False)
class ReferenceTable:
    """Log-probabilities of all response tokens of N pairs, end to end: pair n's are `tokens[ends[n - 1] : ends[n]]`, response by response.

    `mismatched` (N,) sums over each pair's mismatched response, where it was asked for.
    """

    tokens: Tensor
    ends: Sequence[int]
    mismatched: Tensor | None = None

    def mean_margins(self, pairs: Sequence[TokenizedPair]) -> np.ndarray:
        """| lw/Lw - ll/Ll | of the first `pairs`, (N,) float64: how far apart the model holds chosen and rejected, in nats a token."""
        sums = np.concatenate([[0.0], np.cumsum(self.tokens.double().numpy())])
        starts = np.array([0, *self.ends[:-1]])[: len(pairs)]
        middles = starts + np.array([len(pair.chosen) for pair in pairs])
        stops = middles + np.array([len(pair.rejected) for pair in pairs])
        chosen, rejected = ((sums[end] - sums[begin]) / (end - begin) for begin, end in ((starts, middles), (middles, stops)))
        return np.abs(chosen - rejected)

    def of(self, pairs: Sequence[int]) -> ReferenceScores:
        """The scores of some pairs, as a batch of them has them."""
        starts = [self.ends[pair - 1] if pair else 0 for pair in pairs]
        found = [self.tokens[start : self.ends[pair]] for start, pair in zip(starts, pairs, strict=True)]
        return ReferenceScores(torch.cat(found), None if self.mismatched is None else self.mismatched[list(pairs)])


def reference_key(
    model: str, pairs: Sequence[TokenizedPair], computed: str, layout: str, others: bool = False, mismatched: bool = False
) -> str:
    """A name for the scores of `pairs` under `model`: equal content gives the same name, whatever the method.

    `computed` says in what precision and how; `others` and `mismatched` whether these responses are scored too.
    """
    digest = hashlib.sha256(f"{_CODE} {layout} {computed} {model_fingerprint(model)}".encode())
    for pair in pairs:
        further = (pair.others if others else (), pair.mismatched if mismatched else ())
        digest.update(json.dumps((pair.prompt, pair.chosen, pair.rejected, *(part for part in further if part))).encode())
    return digest.hexdigest()[:32]


def model_fingerprint(model: str) -> str:
    """A hash of a local model's configuration and weights; a hub identifier stands for itself."""
    directory = Path(model)
    if not directory.is_dir():
        return model
    files = sorted((*directory.glob("*.json"), *directory.glob("*.safetensors")))
    return _fingerprint(tuple((str(file), (status := file.stat()).st_size, status.st_mtime_ns) for file in files))


@lru_cache(maxsize=8)
def _fingerprint(files: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, _, _ in files:
        with open(name, "rb") as content:
            digest.update(f"{Path(name).name} {hashlib.file_digest(content, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


@contextmanager
def writing_alone(cache: str, key: str) -> Iterator[None]:
    """Hold the right to compute the scores under `key`; who asks meanwhile waits. On remote file systems it is everybody's right."""
    _, root = _opened(cache)
    if "://" in cache:
        yield
        return
    from filelock import FileLock

    os.makedirs(root, exist_ok=True)
    with FileLock(f"{root}/{key}.lock"):
        yield


def keep_share(cache: str, key: str, scores: Mapping[int, ReferenceScores]) -> str:
    """Write some pairs' scores, by pair, below `key`; returns the file's name, for `complete`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files, root = _opened(cache)
    files.makedirs(f"{root}/{key}", exist_ok=True)
    columns: dict[str, Any] = {
        "pair": list(scores),
        "logps": pa.array([found.tokens.tolist() for found in scores.values()], pa.list_(pa.float64())),
    }
    mismatched = [None if found.mismatched is None else float(found.mismatched) for found in scores.values()]
    columns["mismatched"] = pa.array(mismatched, pa.float64())
    name = f"{uuid.uuid4().hex}.parquet"
    with files.open(f"{root}/{key}/{name}", "wb") as content:
        pq.write_table(pa.table(columns), content)
    return name


def complete(cache: str, key: str, names: Sequence[str]) -> None:
    """Say which files hold all scores. Before this they are not there for anybody; several writers may say so, each of their own."""
    files, root = _opened(cache)
    partial = f"{root}/{key}/.{uuid.uuid4().hex}"
    files.pipe_file(partial, json.dumps(list(names)).encode())
    files.mv(partial, f"{root}/{key}/{_COMPLETE}")


def read_reference(cache: str, key: str, dtype: torch.dtype = torch.float32) -> ReferenceTable | None:
    """The scores kept under `key`, or None."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files, root = _opened(cache)
    if not files.exists(f"{root}/{key}/{_COMPLETE}"):
        return None
    names = json.loads(files.cat_file(f"{root}/{key}/{_COMPLETE}"))
    table = pa.concat_tables(pq.read_table(f"{root}/{key}/{name}", filesystem=files, memory_map=True) for name in names)
    table = table.take(pa.array(np.argsort(table["pair"].to_numpy()))).combine_chunks()
    column = table["logps"].combine_chunks()
    mismatched = None if table["mismatched"].null_count else torch.tensor(table["mismatched"].to_numpy(), dtype=dtype)
    return ReferenceTable(torch.tensor(column.flatten().to_numpy(), dtype=dtype), column.offsets.to_numpy()[1:].tolist(), mismatched)


def _opened(cache: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it."""
    from fsspec.core import url_to_fs

    files, root = url_to_fs(cache)
    return files, str(root).rstrip("/")

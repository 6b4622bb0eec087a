"""Reference log-probabilities of every token, computed once for a base model and a tokenised data set and shared by every trial."""

import fcntl
import hashlib
import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from evals.model_files import identity, tensor_files
from evals.secrets import filled_in
from evals.whole_files import is_damage, replacing_bytes
from orchestrator.policy.reference_tables import ReferenceTable, lay_out, mapped_table, table_in
from orchestrator.policy.scoring import ReferenceScores
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.preferences.sequences import digest_of

# Raised when batches are laid out or scored otherwise, so that scores of another code path are never mixed in.
_CODE = "tokens-1"
_COMPLETE = "complete.json"

logger = logging.getLogger(__name__)


def reference_key(
    model: str, pairs: Sequence[TokenizedPair], computed: str, layout: str, others: bool = False, mismatched: bool = False
) -> str:
    """A name for the scores of `pairs` under `model`: equal content gives the same name, whatever the method.

    `computed` says in what precision and how; `others` and `mismatched` whether these responses are scored too.
    """
    digest = hashlib.sha256(f"{_CODE} {layout} {computed} {model_fingerprint(model)}".encode())
    if (known := digest_of(pairs)) is not None:
        digest.update(json.dumps([known, others, mismatched]).encode())
        return digest.hexdigest()[:32]
    for pair in pairs:
        further = (pair.others if others else (), pair.mismatched if mismatched else ())
        digest.update(json.dumps((pair.prompt, pair.chosen, pair.rejected, *(part for part in further if part))).encode())
    return digest.hexdigest()[:32]


def model_fingerprint(model: str) -> str:
    """A hash of a local model's configuration and weights; a hub identifier stands for itself, at the commit that this machine has."""
    directory = Path(model)
    if not directory.is_dir():
        return f"{model}@{commit}" if (commit := identity(model)) else model
    files = sorted((*directory.glob("*.json"), *tensor_files(directory)))
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
    """Hold the right to compute the scores under `key`; who asks meanwhile waits. On file systems without locks it is everybody's right."""
    _, root = _opened(cache)
    if _is_remote(cache):
        yield
        return
    lock = Path(f"{root}/{key}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as held:
        # Several may write the same scores: each file takes its place whole.
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def keep_share(cache: str, key: str, scores: Mapping[int, ReferenceScores]) -> str:
    """Write some pairs' scores, by pair, below `key`; returns the file's name, for `complete`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files, root = _opened(cache)
    tokens = [found.tokens.double().numpy() for found in scores.values()]
    ends = np.cumsum([0, *map(len, tokens)], dtype=np.int32)
    mismatched = [None if found.mismatched is None else float(found.mismatched) for found in scores.values()]
    columns: dict[str, Any] = {
        "pair": list(scores),
        "logps": pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(tokens))),
        "mismatched": pa.array(mismatched, pa.float64()),
    }
    name = f"{uuid.uuid4().hex}.parquet"
    files.makedirs(f"{root}/{key}", exist_ok=True)
    with files.open(f"{root}/{key}/{name}", "wb") if _is_remote(cache) else replacing_bytes(Path(root, key, name)) as content:
        pq.write_table(pa.table(columns), content, write_page_checksum=True)
    return name


def complete(cache: str, key: str, names: Sequence[str]) -> None:
    """Say which files hold all scores. Before this they are not there for anybody; several writers may say so, each of their own."""
    files, root = _opened(cache)
    listed = json.dumps(list(names)).encode()
    if not _is_remote(cache):
        with replacing_bytes(Path(root, key, _COMPLETE)) as content:
            content.write(listed)
        return
    partial = f"{root}/{key}/.{uuid.uuid4().hex}"
    files.pipe_file(partial, listed)
    files.mv(partial, f"{root}/{key}/{_COMPLETE}")


def read_reference(cache: str, key: str, dtype: torch.dtype = torch.float32) -> ReferenceTable | None:
    """The scores kept under `key`, or None; they stay in a file, and what is asked for is read. Damaged ones are not there either."""
    from pyarrow import ArrowException

    files, root = _opened(cache)
    if not files.exists(f"{root}/{key}/{_COMPLETE}"):
        return None
    try:
        return _table(cache, key, dtype)
    except (OSError, ValueError, ArrowException) as error:
        if not is_damage(error):
            raise
        logger.warning("the reference scores in %s/%s are damaged, and computed again: %s", root, key, error)
        return None


def _table(cache: str, key: str, dtype: torch.dtype) -> ReferenceTable:
    files, root = _opened(cache)
    names = json.loads(files.cat_file(f"{root}/{key}/{_COMPLETE}"))
    shares = [f"{root}/{key}/{name}" for name in names]
    if _is_remote(cache):
        with TemporaryDirectory(prefix="daa-reference-") as place:
            lay_out(files, shares, Path(place), dtype)
            # What is mapped stays readable when its name is gone.
            return mapped_table(Path(place))
    laid = f"{key}/{str(dtype).removeprefix('torch.')}-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]}"
    with writing_alone(cache, laid):
        if (table := table_in(Path(root, laid))) is None:
            lay_out(files, shares, Path(root, laid), dtype)
            table = mapped_table(Path(root, laid))
    return table


def _is_remote(cache: str) -> bool:
    return "://" in cache


def _opened(cache: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it."""
    from fsspec.core import url_to_fs

    files, root = url_to_fs(filled_in(cache))
    return files, str(root).rstrip("/")

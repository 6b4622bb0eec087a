"""Reference log-probabilities, computed once for a base model and a tokenised data set and shared by every trial."""

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from orchestrator.policy.scoring import ReferenceScores
from orchestrator.preferences.pairs import TokenizedPair

# Raised when the layout of batches or the scoring itself changes, so that scores of another code path are never mixed in.
_LAYOUT = "padded-pairs-2"


def reference_key(
    model: str, pairs: Sequence[TokenizedPair], precision: torch.dtype, others: bool = False, mismatched: bool = False
) -> str:
    """A name for the scores of `pairs` under `model`: equal content gives the same name, whatever the method.

    `others` and `mismatched` say whether these responses are scored too.
    """
    digest = hashlib.sha256(f"{_LAYOUT} {precision} {model_fingerprint(model)}".encode())
    for pair in pairs:
        further = (pair.others if others else (), pair.mismatched if mismatched else ())
        digest.update(json.dumps((pair.prompt, pair.chosen, pair.rejected, *(part for part in further if part))).encode())
    return digest.hexdigest()[:32]


def model_fingerprint(model: str) -> str:
    """A hash of a local model's configuration and weights; a hub identifier stands for itself."""
    directory = Path(model)
    if not directory.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted((*directory.glob("*.json"), *directory.glob("*.safetensors"))):
        with file.open("rb") as content:
            digest.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def read_reference(cache: Path, key: str) -> ReferenceScores | None:
    """The scores kept under `key`, or None."""
    file = cache / f"{key}.safetensors"
    return ReferenceScores(**load_file(file)) if file.is_file() else None


def keep_reference(cache: Path, key: str, scores: ReferenceScores) -> None:
    """Keep scores under `key`. The file appears whole or not at all: several processes may do this at the same time."""
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f".{key}-{uuid.uuid4().hex}"
    save_file({name: value for name, value in vars(scores).items() if value is not None}, partial)
    os.replace(partial, cache / f"{key}.safetensors")


def merge_shares(shares: Sequence[Tensor]) -> Tensor:
    """Interleave what each of W ranks computed for the pairs rank, rank + W, rank + 2W, ... into the data's order."""
    merged = torch.empty(sum(len(share) for share in shares), *shares[0].shape[1:], dtype=shares[0].dtype)
    for rank, share in enumerate(shares):
        merged[rank :: len(shares)] = share
    return merged

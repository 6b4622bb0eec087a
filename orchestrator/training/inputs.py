"""What a run trains on: the tokenizer and the tokenised pairs, checked against what the method needs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evals.model_files import vocabulary_size
from orchestrator.errors import DataFormatError, ModelError, SettingsError
from orchestrator.policy.loading import load_tokenizer
from orchestrator.policy.scores import Needs
from orchestrator.preferences.mixing import mixed
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.preferences.reading import Reading, read_pairs
from orchestrator.preferences.rows import BadRow, SetAside, unfit
from orchestrator.preferences.sequences import rewards_of
from orchestrator.preferences.sources import DataFile, parts_of
from orchestrator.preferences.streamed_set import StreamedSet
from orchestrator.preferences.tokenization import tokenize
from orchestrator.settings import DataSettings


@dataclass(frozen=True)
class Inputs:
    """Tokenised pairs and the tokenizer they were made with; `identical` pairs were left out, `validation` pairs are not trained on.

    `kinds` says of each file what its rows were taken for; `unused` are rows that gave no pair, and why.
    """

    tokenizer: Any
    pairs: Sequence[TokenizedPair]
    identical: int
    validation: Sequence[TokenizedPair]
    kinds: Sequence[str] = ()
    unused: Iterable[BadRow | SetAside] = ()


def load_inputs(model: str, data: DataSettings) -> Inputs:
    """Read and tokenise once per process; trials that follow get the same object, while the files stay as they are. `data` names a source.

    Raises DataFormatError for data without pairs and, unless bad rows are quarantined, for the first row that cannot be used.
    """
    parts = [part for one in data.sources for part in parts_of(one.source, one.split, one.config, one.columns)]
    files = (*(part.version() for part in parts if isinstance(part, DataFile)), *_versions(Path(model).expanduser()))
    return _loaded(model, data.model_dump_json(), files)


def _versions(model: Path) -> Iterator[str]:
    """What changes with a tokenizer on this machine, without reading it."""
    for file in sorted(model.iterdir()) if model.is_dir() else ():
        yield f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}"


@lru_cache(maxsize=2)
def _loaded(model: str, settings: str, files: tuple[str, ...]) -> Inputs:
    data = DataSettings.model_validate_json(settings)
    read = read_sources(data)
    tokenizer = load_tokenizer(model)
    made = tokenize(tokenizer, read.pairs, data.context, data.validation_pairs, leave_out=data.bad_rows != "refuse")
    check_vocabulary(tokenizer, model, made.pairs)
    check_vocabulary(tokenizer, model, made.validation)
    unused = (*read.bad, *read.set_aside, *unfit(made.left_out))
    return Inputs(tokenizer, made.pairs, made.identical, made.validation, read.kinds, unused)


@lru_cache(maxsize=2)
def open_inputs(model: str, directory: Path, shards: Path) -> Inputs:
    """The same of a data set that was streamed to `directory` (see `StreamedSet`), whose pairs are read when they are looked at."""
    found, tokenizer = StreamedSet(directory, shards), load_tokenizer(model)
    check_vocabulary(tokenizer, model, found.pairs)
    check_vocabulary(tokenizer, model, found.validation)
    return Inputs(tokenizer, found.pairs, found.identical, found.validation, found.kinds, found.unused)


def check_vocabulary(tokenizer: Any, model: str, pairs: Sequence[TokenizedPair]) -> None:
    """Refuse tokens that the model has no embeddings for. Raises ModelError."""
    size = vocabulary_size(Path(model)) if Path(model).is_dir() else None
    if size is None or len(tokenizer) <= size or not pairs:
        return
    largest = max(max((*pair.prompt, *pair.chosen, *pair.rejected)) for pair in pairs)
    if largest >= size:
        what = f"the tokenizer writes token {largest}, and the model has embeddings for {size}"
        raise ModelError(what, model, "take the tokenizer that the model was saved with, or enlarge the model's embeddings")


def read_sources(data: DataSettings) -> Reading:
    """The pairs of all sources, as often as their weights say. Raises as `load_inputs` does."""
    refuse = data.bad_rows == "refuse"
    readings = [read_pairs(part.source, part.limit, part.split, refuse, part.config, part.columns) for part in data.sources]
    pairs = mixed([(reading.pairs, part.weight) for reading, part in zip(readings, data.sources, strict=True)], data.mixture_seed)
    if not pairs and any(reading.pairs for reading in readings):
        cure = "give at least one source a larger weight"
        raise DataFormatError("the weights are so small that they take no pair", "data.mixture", cure, code="DAA-0210")
    each: list[tuple[Any, ...]] = [(reading.kinds, reading.bad, reading.set_aside) for reading in readings]
    kinds, bad, set_aside = (tuple(item for part in parts for item in part) for parts in zip(*each, strict=True))
    return Reading(tuple(pairs), kinds, bad, set_aside)


def check_needs(needs: Mapping[str, Needs], inputs: Inputs, origin: str, references: int) -> None:
    """Refuse methods that need rewards when the data has none, or further references when there are too few."""
    check_references(needs, references)
    hungry = [method for method, need in needs.items() if need.reward]
    unknown = np.isnan(np.concatenate([rewards_of(pairs)[0] for pairs in (inputs.pairs, inputs.validation)]))
    if hungry and unknown.any():
        without = int(unknown.argmax()) + 1
        raise DataFormatError(
            f"{', '.join(hungry)} need rewards, and pair {without} of the data has none",
            origin,
            "add `chosen_reward` and `rejected_reward` to every row, or leave these methods out of search.methods",
            code="DAA-0212",
        )


def check_references(needs: Mapping[str, Needs], references: int) -> None:
    """Refuse methods that need more further references than there are."""
    lonely = [method for method, need in needs.items() if need.extra_references > references]
    if lonely:
        raise SettingsError(
            f"{', '.join(lonely)} compare the policy with further models, and {references} are given",
            "model.references",
            "name them there, as Hugging Face directories or hub identifiers, or leave these methods out of search.methods",
        )

"""Preference data beyond memory: Ray Data reads and tokenises them, once, into shards of the cache, of which runs read what they need."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from evals.whole_files import save_json
from orchestrator import errors
from orchestrator.errors import ClusterError, DaaError
from orchestrator.preferences.rows import BadRow
from orchestrator.preferences.set_planning import ShardedSource, plan_set
from orchestrator.preferences.sharding import Recipe, chunks, fingerprint, make_shard
from orchestrator.preferences.sources import DataFile, HubSplit, parts_of
from orchestrator.preferences.streamed_set import is_complete
from orchestrator.preferences.token_shards import Shard, shard_file
from orchestrator.settings import DataSettings, MixtureSettings, Settings

POINTER = "streamed.json"
# Blocks on the way from those who read to those who tokenise: about as large as the rows of a shard.
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Place:
    """Where a cache keeps streamed data: shards, and the sets that are made of them."""

    cache: Path

    @property
    def shards(self) -> Path:
        """Tokenised pairs, shared by every set that has the same rows."""
        return self.cache / "tokens" / "shards"

    def set_directory(self, key: str) -> Path:
        """Where the set of this key is planned."""
        return self.cache / "tokens" / "sets" / key


def place_of(settings: Settings) -> Place:
    """Where the settings' cache keeps streamed data."""
    return Place(settings.cache.expanduser().resolve())


def stream_inputs(settings: Settings, directory: Path, say: Callable[[str], None]) -> None:
    """Have the settings' data as shards in the cache, and note in `directory` which set of them the run is trained on.

    Raises what `load_inputs` raises, and ClusterError when the tasks are lost.
    """
    from orchestrator.policy.loading import load_tokenizer

    assert settings.model.base is not None
    place, data = place_of(settings), settings.data
    parts = [parts_of(source.source, source.split, source.config, source.columns) for source in data.sources]
    tokenizer = fingerprint(load_tokenizer(settings.model.base))
    versions = [[part.version() for part in of_source] for of_source in parts]
    key = hashlib.sha256(json.dumps([tokenizer, data.model_dump(mode="json"), versions]).encode()).hexdigest()[:32]
    made = place.set_directory(key)
    if not is_complete(made, place.shards):
        streams = [
            _Stream(settings.model.base, place, source, of_source, data, tokenizer)
            for source, of_source in zip(data.sources, parts, strict=True)
        ]
        plan_set(made, place.shards, [stream.run(say) for stream in streams], data.context, data.validation_pairs)
    save_json(directory / POINTER, {"set": str(made), "shards": str(place.shards)})


def streamed_inputs(settings: Settings, directory: Path) -> Any:
    """The inputs of the run in `directory`, as `load_inputs` gives those of data in memory."""
    from orchestrator.training.inputs import open_inputs

    assert settings.model.base is not None
    noted = json.loads((directory / POINTER).read_text(encoding="utf-8"))
    return open_inputs(settings.model.base, Path(noted["set"]), Path(noted["shards"]))


@dataclass(frozen=True)
class _Stream:
    """One source on its way to shards."""

    model: str
    place: Place
    source: MixtureSettings
    parts: Sequence[DataFile | HubSplit]
    data: DataSettings
    tokenizer: str

    def run(self, say: Callable[[str], None]) -> ShardedSource:
        """Read and tokenise, as far as the source's limit. Raises DataFormatError for the first bad row unless they are quarantined."""
        is_drawn = self.source.weight % 1 > 0
        recipe = Recipe(self.tokenizer, self.data.context, self.data.mixture_seed if is_drawn else None)
        names: list[str] = []
        pairs = kept = 0
        for name, was_there in _shards(self.parts, partial(_tokenize, self.model, recipe, self.place.shards)):
            shard = Shard(shard_file(self.place.shards, name))
            if self.data.bad_rows == "refuse":
                _refuse(shard, None if self.source.limit is None else self.source.limit - pairs)
            names.append(name)
            pairs, kept = pairs + len(shard), kept + was_there
            if self.source.limit is not None and pairs >= self.source.limit:
                break
        say(f"{self.source.source}: {pairs} pairs in {len(names)} shards" + (f", {kept} of them from before" if kept else ""))
        return ShardedSource(self.source.source, names, self.source.weight, self.source.limit)


def _refuse(shard: Shard, room: int | None) -> None:
    """Raise for the first row that cannot be used among those of the first `room` pairs."""
    if not (shard.told["unused"] or shard.told["unfit"]):
        return
    bad = [each.row for each in shard.unused() if isinstance(each.row, BadRow) and (room is None or each.before < room)]
    bad += [row for number, row in sorted(shard.unfit.items()) if room is None or number < room]
    if bad:
        raise bad[0].error()


def _shards(parts: Sequence[DataFile | HubSplit], tokenize: Callable[[Any], Any]) -> Iterator[tuple[str, bool]]:
    """Names of the shards of all parts, in order, as they come, and whether each was there before. Who stops listening ends the tasks."""
    from ray.data import DataContext, read_datasource

    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = _BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Readers wait most of their time for those who tokenise: they take no processor from them.
    readers = max(1, min(len(parts), int(ray.cluster_resources().get("CPU", 1))))
    rows = read_datasource(_source(parts), num_cpus=0, concurrency=readers, override_num_blocks=len(parts))
    try:
        for found in rows.map_batches(tokenize, batch_size=1, num_cpus=1).iter_rows():
            if found["error"]:
                raise _error(json.loads(found["error"]))
            yield found["name"], found["was_there"]
    except RayError as error:
        raise ClusterError(f"tokenising ended: {str(error).splitlines()[-1]}", "ray.data", "start the run again: it goes on") from error


def _source(parts: Sequence[DataFile | HubSplit]) -> Any:
    """The parts as a source of Ray Data: a task reads one of them, and each of its rows is the rows of a shard."""
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    class PreferenceFiles(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None) -> list[ReadTask]:
            return [ReadTask(partial(_blocks, part), BlockMetadata(None, None, None, input_files=(part.name,))) for part in parts]

    return PreferenceFiles()


def _blocks(part: DataFile | HubSplit) -> Iterator[Any]:
    """The rows of a part, a block for each shard; or, at the end, why it cannot be read: Ray Data does not hand errors on."""
    import pyarrow as pa

    def block(chunk: bytes, error: str) -> Any:
        return pa.table({"chunk": pa.array([chunk], pa.large_binary()), "error": [error]})

    try:
        for chunk in chunks(part.rows()):
            yield block(chunk, "")
    except DaaError as error:
        yield block(b"", _told(error))


def _tokenize(model: str, recipe: Recipe, shards: Path, batch: Any) -> Any:
    """The shard of one block, by name, or the error that was in its place."""
    (chunk,), (error,) = batch["chunk"], batch["error"]
    name, was_there = "", False
    if not error:
        # Each task has one processor.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        try:
            name, was_there = make_shard(_tokenizer(model), recipe, bytes(chunk), shards)
        except DaaError as refusal:
            error = _told(refusal)
        except OSError as failure:
            error = _told(ClusterError(f"the tokens cannot be written: {failure}", str(shards), "make room there, or set another `cache`"))
    return {"name": [name], "was_there": [was_there], "error": [error]}


@lru_cache(maxsize=1)
def _tokenizer(model: str) -> Any:
    from orchestrator.policy.loading import load_tokenizer

    return load_tokenizer(model)


def _told(error: DaaError) -> str:
    return json.dumps([type(error).__name__, error.what, error.where, error.cure, error.code])


def _error(told: Sequence[str]) -> DaaError:
    name, *words = told
    return getattr(errors, name)(*words)

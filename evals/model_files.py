"""What a Hugging Face directory holds, read without loading it: is it a model, has it changed, does it fit a running engine."""

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

from huggingface_hub.errors import HFValidationError, StrictDataclassError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from evals.errors import ModelError, first_line
from evals.json_lines import parsed_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja")
# Written by each save, without a meaning for the engine.
VOLATILE_KEYS = ("_name_or_path", "transformers_version", "use_cache", "torch_dtype", "truncation", "padding")
CURE = "give a directory written by `save_pretrained` of both the model and its tokenizer"

# What reading a model's files raises in the libraries that load them, where the files are not what they should be.
FAULTS = (
    *(ArithmeticError, AttributeError, EOFError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(SafetensorError, StrictDataclassError, UnpicklingError),
)

_SAMPLES, _SAMPLE, _BEGINNING = 64, 1 << 16, 1 << 12
# The library's own bound.
_LARGEST_HEADER = 100_000_000

Stamp = tuple[tuple[str, int, int], ...]


def check_model(model: str) -> None:
    """Refuse, without loading anything, a path that holds no model. Raises ModelError. Hub identifiers pass."""
    if is_path(model):
        model_stamp(Path(os.path.expanduser(model)))


def is_path(model: str) -> bool:
    """Whether a model's name is that of a directory, or was meant as one: it looks like a path, or can be none on the hub."""
    if os.path.exists(os.path.expanduser(model)) or model.startswith(("/", "./", "../", "~")):
        return True
    try:
        validate_repo_id(model)
    except HFValidationError:
        return True
    return False


def local_model(model: str) -> Path:
    """The directory of a model, which a hub identifier is downloaded to once. Raises ModelError when it cannot be had."""
    check_model(model)
    if os.path.exists(found := os.path.expanduser(model)):
        return Path(found)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        cure = "give a directory, or a hub identifier that this machine can download (a gated model needs HF_TOKEN)"
        raise ModelError(f"the model cannot be downloaded: {first_line(error)}", model, cure, code="DAA-0302") from error


def model_stamp(directory: Path) -> Stamp:
    """Names, sizes and modification times of the files: two equal stamps of one directory hold the same model.

    Raises ModelError when the directory holds no model.
    """
    if not os.path.isdir(directory):
        raise ModelError("there is no such model directory", str(directory), CURE, code="DAA-0301")
    if not (directory / "config.json").is_file():
        raise ModelError("this directory is no model: it has no config.json", str(directory), CURE)
    if not any(directory.glob("*.safetensors")) and not any(directory.glob("*.bin")):
        raise ModelError("this directory is no model: it has no weights (*.safetensors)", str(directory), CURE)
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError("this model has no tokenizer beside its weights", str(directory), CURE)
    _check_shards(directory)
    files = sorted(file for file in directory.iterdir() if file.is_file())
    return tuple((file.name, (status := file.stat()).st_size, status.st_mtime_ns) for file in files)


def engine_shape(directory: Path) -> str:
    """Hash all that an engine is built from besides the values of the weights.

    The configuration, the tokenizer and its template, the end tokens, the names and shapes of the tensors. Weights may be swapped
    in place only between directories of equal shape: an engine keeps the old value of a tensor that the new directory lacks.
    """
    settings = read_config(directory)
    templates = _read_json(directory / "tokenizer_config.json").get("chat_template")
    ends = _read_json(directory / "generation_config.json").get("eos_token_id")
    parts: list[Any] = [settings, templates, ends, _tensor_shapes(directory)]
    for name in TOKENIZER_FILES:
        file = directory / name
        parts.append(_read_json(file) if file.suffix == ".json" else file.read_text("latin-1") if file.is_file() else None)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint(directory: Path) -> str:
    """Name what a directory of a model or an adapter holds, in 12 hex digits: copies of it have the same name.

    Small files count whole; of weights, their sizes, the beginning of each tensor, their end, and evenly spaced samples of 64 KiB.
    """
    return _fingerprint(directory, tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in _content(directory)))


def identity(model: str) -> str:
    """What tells a model from another one at the same place: a directory's fingerprint, of a hub model the commit that this machine has.

    "" for a hub model of which it has none yet, and for what cannot be one.
    """
    if (directory := Path(model).expanduser()).is_dir():
        return fingerprint(directory)
    if is_path(model):
        return ""
    from huggingface_hub import try_to_load_from_cache

    # .../snapshots/COMMIT/config.json
    found = try_to_load_from_cache(model, "config.json")
    return Path(found).parent.name if isinstance(found, str) else ""


def adapter_rank(directory: Path) -> int:
    """The rank of a LoRA adapter. Raises ModelError for a directory that holds none."""
    settings = _read_json(directory / "adapter_config.json")
    if not isinstance(settings.get("r"), int) or not any(directory.glob("adapter_model.*")):
        cure = "give a directory written by `save_pretrained` of a LoRA model"
        raise ModelError("this directory holds no LoRA adapter: it needs adapter_config.json and its weights", str(directory), cure)
    return settings["r"]


def adapter_base(directory: Path) -> str | None:
    """The base model that a LoRA adapter names; None for a directory that is no adapter."""
    base = _read_json(directory / "adapter_config.json").get("base_model_name_or_path")
    if base is not None and not isinstance(base, str):
        raise ModelError(
            f"`base_model_name_or_path` is {base!r}", str(directory / "adapter_config.json"), "write the base model's path or name"
        )
    return base


def stop_tokens(model: str) -> tuple[int, ...]:
    """The tokens that end a generation by the model's generation_config.json, or without one by its config.json; () where neither says."""
    files = (_file_of(model, name) for name in ("generation_config.json", "config.json"))
    ends = next((content for file in files if file is not None and (content := _read_json(file))), {}).get("eos_token_id")
    found = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(isinstance(end, int) for end in found):
        raise ModelError(f"`eos_token_id` is {ends!r}", model, "write the numbers of the end tokens in generation_config.json")
    return tuple(found)


def vocabulary_size(directory: Path) -> int | None:
    """How many tokens the model of a directory has embeddings for; None where its configuration does not say."""
    config = _read_json(directory / "config.json")
    size = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    return size if isinstance(size, int) else None


def check_adapter(adapter: Path, base: Path) -> None:
    """Refuse a LoRA adapter whose matrices do not fit the base model's, as that of another base. Raises ModelError."""
    known = _tensor_shapes(base)
    for name, shape in _tensor_shapes(adapter).items():
        layer, _, part = name.removeprefix("base_model.model.").rpartition(".lora_")
        weight = known.get(f"{layer}.weight")
        place = {"A.weight": 1, "B.weight": 0}.get(part)
        if weight is None or place is None or len(weight) != 2 or shape[place] == weight[place]:
            continue
        what = f"the adapter is another model's: its {name} is {shape}, and the base has {layer}.weight {weight}"
        raise ModelError(what, str(adapter), f"give an adapter that was trained on {base}, or correct its base_model_name_or_path")


def _file_of(model: str, name: str) -> Path | None:
    """A file of a model, from its directory or from the hub; None where there is none, or no model of that name."""
    if not model or Path(model).is_dir():
        return Path(model) / name if model else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(model, name))
    except (EntryNotFoundError, HFValidationError, OSError):
        return None


def _check_shards(directory: Path) -> None:
    for index in directory.glob("*.index.json"):
        shards = _read_whole(index).get("weight_map")
        if not isinstance(shards, dict):
            raise ModelError("the index of the weights has no `weight_map`", str(index), CURE)
        missing = sorted({str(shard) for shard in shards.values() if not (directory / str(shard)).is_file()})
        if missing:
            what = f"{len(missing)} files of the weights are missing, the first: {missing[0]}"
            raise ModelError(what, str(index), "copy or download the model again")


@cache
def _fingerprint(directory: Path, stamp: Stamp) -> str:
    hashed = hashlib.sha256()
    for name, size, _ in stamp:
        hashed.update(f"{name} {size} ".encode())
        with (directory / name).open("rb") as content:
            for start, length in _sampled(content, size) if size > _SAMPLES * _SAMPLE else [(0, size)]:
                content.seek(start)
                hashed.update(content.read(length))
    return hashed.hexdigest()[:12]


def _sampled(content: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Where to look into a large file, and how far: models may differ by one small tensor, a head say."""
    yield from ((sample * (size // _SAMPLES), _SAMPLE) for sample in range(_SAMPLES))
    yield size - _SAMPLE, _SAMPLE
    # A safetensors file begins with the length of its header, which is JSON.
    content.seek(0)
    header = int.from_bytes(content.read(8), "little")
    if header > min(size, _LARGEST_HEADER):
        return
    text = content.read(header)
    try:
        starts = [int(tensor["data_offsets"][0]) for name, tensor in parsed_json(text).items() if name != "__metadata__"]
    except FAULTS:
        return
    yield from ((8 + header + start, _BEGINNING) for start in sorted(starts) if 0 <= start < size)


def _content(directory: Path) -> list[Path]:
    """The files that a model's answers depend on."""
    names = (*TOKENIZER_FILES, "config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json")
    weights = [*directory.glob("*.safetensors"), *directory.glob("*.bin"), *directory.glob("*.py")]
    return sorted([directory / name for name in names if (directory / name).is_file()] + weights)


def read_config(directory: Path) -> dict[str, Any]:
    """Read the model's configuration, with its precision under `dtype`, whichever release of transformers wrote it."""
    raw = _read_whole(directory / "config.json")
    return {**_lasting(raw), "dtype": raw.get("dtype") or raw.get("torch_dtype")}


def _read_json(file: Path) -> dict[str, Any]:
    return _lasting(_read_whole(file)) if file.is_file() else {}


def _lasting(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in VOLATILE_KEYS}


def _read_whole(file: Path) -> dict[str, Any]:
    try:
        content = parsed_json(file.read_bytes())
    except OSError as error:
        cure = "bring its path back, or let it be read, then try again"
        raise ModelError(f"this file of the model cannot be read: {error.strerror or error}", str(file), cure) from error
    except ValueError as error:
        raise ModelError(f"this file of the model is not JSON: {error}", str(file), CURE) from error
    if not isinstance(content, dict):
        raise ModelError("this file of the model is no JSON object", str(file), CURE)
    return content


def tensor_files(directory: Path) -> list[Path]:
    """The files of a directory's weights."""
    return sorted(file for pattern in ("*.safetensors", "*.bin") for file in directory.glob(pattern))


def _tensor_shapes(directory: Path) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    for file in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as tensors:
                shapes |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError as error:
            raise ModelError(
                f"the weights cannot be read: {error}", str(file), "write the checkpoint again: it is damaged or incomplete"
            ) from error
    return shapes

"""A directory is one run's: called again with settings or inputs that would have made another model, a command refuses it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.model_files import identity
from evals.prompts import check_prompt_file
from orchestrator.errors import UserError
from orchestrator.settings_file import prompt_files

# These change where and how fast something is computed, how much memory it takes and what may be spent. Who runs out of memory goes on with
# smaller batches, who has spent all with a larger budget.
INDIFFERENT = (
    "name",
    "budget",
    "cache",
    "reference_cache",
    "cluster",
    "training.micro_batch_tokens",
    "training.zero_stage",
    "training.gradient_checkpointing",
    "training.sequence_parallel",
    "training.checkpoints",
)
# The same, of any engine, judge or scorer; and what refuses an answer or a score without changing another.
_INDIFFERENT_KEYS = {
    *("gpus", "engine_gpus", "tensor_parallel", "gpu_memory_utilization"),
    *("api_key_env", "max_concurrency", "timeout_s", "max_attempts", "input_price", "output_price"),
    *("max_requests", "max_cost", "max_unreadable"),
}
_ABSENT = "nothing"


def inputs_told(settings: Any, *pairs: Sequence[Any]) -> dict[str, str]:
    """What is in the files that settings name, as hashes, each after its key: models, prompts, and the `pairs` that were read.

    Raises DataFormatError for prompts that are not there any more.
    """
    from orchestrator.preferences.sequences import content_of

    model = settings.model
    models = {"model.base": model.base, **{f"the reference {name}": name for name in (*model.reference, *model.references)}}
    told = {key: identity(name) for key, name in models.items() if name}
    told["data"] = " ".join(content_of(part) for part in pairs)
    for key, file in prompt_files(settings):
        check_prompt_file(file, key)
        told[key] = hash_of([file])
    return {key: content for key, content in told.items() if content}


def hash_of(files: Sequence[Path]) -> str:
    """What is in some files, one after another, as 12 hex digits."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def check_claim(
    file: Path, told: Mapping[str, Any], inputs: Mapping[str, str], what: str, directory: Path, sections: Sequence[str] = ()
) -> dict[str, Any]:
    """What `file` says that a directory's `what` was made with; empty where there is no such file.

    Raises UserError as `check_same` and `check_inputs`, where that is not what is `told` of settings, and of `inputs`.
    """
    if not file.is_file():
        return {}
    written = json.loads(file.read_text(encoding="utf-8"))
    # That of a training has a section for its settings.
    rest = {key: value for key, value in written.items() if key not in {"settings", "inputs", "versions"}}
    check_same(written.get("settings", {}) | rest, told, what, directory, sections)
    check_inputs(written.get("inputs", {}), inputs, what, directory)
    return written


def check_inputs(before: Mapping[str, str], now: Mapping[str, str], what: str, directory: Path) -> None:
    """Raise UserError naming the inputs whose content is not what a directory was made from; what either does not know is passed over."""
    changed = [key for key in before.keys() & now.keys() if before[key] != now[key]]
    if changed:
        raise UserError(
            f"this directory holds {what} of other inputs: the content of {', '.join(sorted(changed))} has changed",
            str(directory),
            "choose another --dir, or bring back what was there",
            code="DAA-0712",
        )


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], what: str, directory: Path, sections: Sequence[str] = ()) -> None:
    """Raise UserError naming the keys by which what a directory was made with differs from what is asked for now.

    Both are JSON-ready. What does not change a result may differ. With `sections`, only these are looked at.
    """
    changed = [each for each in _differences(before, now) if not _is_indifferent(each[0])]
    if sections:
        changed = [each for each in changed if _within(each[0], sections)]
    if changed:
        key, then, asked = changed[0]
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"this directory holds {what} of other settings: {key} was {then!r:.80}, and is {asked!r:.80}{more}",
            str(directory),
            "choose another --dir, or give the same settings",
            code="DAA-0712",
        )


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted keys of what is not the same in two JSON values, with both."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in {**before, **now}:
            yield from _differences(before.get(name, _ABSENT), now.get(name, _ABSENT), f"{key}.{name}" if key else name)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (then, asked) in enumerate(zip(before, now, strict=True)):
            yield from _differences(then, asked, f"{key}.{number}")
    elif before != now:
        yield key, before, now


def _is_indifferent(key: str) -> bool:
    last = key.rpartition(".")[-1]
    # A training's batches make the model, a judge's or a scorer's do not.
    reads_in_batches = last == "batch_size" and _within(key, ("judge", "rounds.scorers"))
    return last in _INDIFFERENT_KEYS or reads_in_batches or _within(key, INDIFFERENT)


def _within(key: str, sections: Sequence[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)

"""A directory is one run's: called again with settings that would have trained another model, a command refuses it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError

# These change where and how fast something is computed, and its memory: who runs out of that goes on with less.
INDIFFERENT = (
    "name",
    "cache",
    "reference_cache",
    "cluster",
    "training.micro_batch_tokens",
    "training.zero_stage",
    "training.gradient_checkpointing",
    "training.sequence_parallel",
    "training.checkpoints",
)
_ABSENT = "nothing"


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], what: str, directory: Path, sections: Sequence[str] = ()) -> None:
    """Raise UserError naming the keys by which what a directory was made with differs from what is asked for now.

    Both are JSON-ready. What does not change a result may differ. With `sections`, only these are looked at.
    """
    changed = [each for each in _differences(before, now) if not _within(each[0], INDIFFERENT)]
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
    elif before != now:
        yield key, before, now


def _within(key: str, sections: Sequence[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)

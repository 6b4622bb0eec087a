"""A model's directory for others: weights, tokenizer, card and the settings to train it again; there whole or not at all."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from evals.model_files import adapter_base
from evals.whole_files import making, save_json
from orchestrator.errors import MachineError, UserError
from orchestrator.export.loading import check_loads
from orchestrator.policy.loading import merged
from orchestrator.report.model_cards import CARD, REPRODUCTION, Publication, Trained, model_card

_OF_ADAPTERS = ("adapter_*", CARD, "*.safetensors")


@dataclass(frozen=True)
class Exported:
    """A directory that was written, what it holds, and what was checked of it."""

    directory: Path
    trial: str
    form: str
    checked: str


def form_of(trained: Trained, merge: bool | None) -> str:
    """The form in which a model leaves. Raises UserError when something is to become of adapters that are none."""
    if adapter_base(Path(trained.model)) is not None:
        return "adapter" if merge is False else "merged"
    if trained.reproduction().training.lora is not None:
        if merge is False:
            cure = "leave out --no-merge-lora; each round's own adapters lie in its `checkpoints`"
            raise UserError(f"{trained.name} is a whole model, into which its adapters are merged already", trained.model, cure)
        return "merged"
    if merge is not None:
        cure = "leave out --merge-lora and --no-merge-lora"
        raise UserError(f"{trained.name} trained all weights: there are no adapters", trained.model, cure)
    return "full"


def export(trained: Trained, how: Publication, target: Path, card_only: bool = False) -> Exported:
    """Write the model to `target` in the form that `how` says, or its card alone.

    Raises UserError when something is there already, ModelError when the model cannot be loaded, and MachineError when it cannot be
    written; nothing is then at `target`.
    """
    target = target.expanduser().resolve()
    check_target(target)
    try:
        with making(target) as partial:
            checked = "the card alone: no model was written"
            if not card_only:
                _write_model(trained, how, partial)
            save_json(partial / REPRODUCTION, trained.reproduction().json_ready())
            (partial / CARD).write_text(model_card(trained, how), encoding="utf-8")
            checked = checked if card_only else check_loads(partial)
    except OSError as error:
        cure = "free some disk space, or give another directory with --to"
        raise MachineError(f"the model could not be written: {error}", str(target), cure) from error
    return Exported(target, trained.name, how.form, checked)


def check_target(target: Path) -> None:
    """Refuse a place at which something lies already. Raises UserError."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError("there is something already", str(target), "choose another --to, or move it away")


def _write_model(trained: Trained, how: Publication, partial: Path) -> None:
    source = Path(trained.model)
    if adapter_base(source) is None or how.form == "adapter":
        shutil.copytree(source, partial, dirs_exist_ok=True)
        _answer_with_cache(partial / "config.json")
        return
    shutil.copytree(source, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_OF_ADAPTERS))
    merged(source).save_pretrained(partial)


def _answer_with_cache(config: Path) -> None:
    """Training switches off the cache of keys and values, which answering wants."""
    if config.is_file():
        save_json(config, json.loads(config.read_text(encoding="utf-8")) | {"use_cache": True})

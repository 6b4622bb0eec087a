"""Policies and frozen references from a Hugging Face directory or hub identifier."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from evals.errors import first_line
from evals.model_files import FAULTS, adapter_base, adapter_rank, check_model
from orchestrator.errors import ModelError
from orchestrator.policy.adapters import add_adapters, quantized
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.settings import LoraSettings

Scoring = TypeVar("Scoring", bound=ScoringModel)

_CURE = "give a Hugging Face directory (config.json, *.safetensors, tokenizer files) or a hub identifier"


def load_policy(
    path: str,
    precision: torch.dtype,
    gradient_checkpointing: bool = False,
    lora: LoraSettings | None = None,
    compiled: bool = False,
) -> ScoringModel:
    """The model at `path`, trainable, in `precision`; with `lora` it is frozen and its adapters are trainable.

    With `compiled`, torch.compile fuses its feed-forward layers and norms; attention, whose lengths change with every batch, stays.
    Raises ModelError when there is no model, SettingsError when it has no layer that `lora` names.
    """
    from transformers import AutoModelForCausalLM

    model, told = loaded(AutoModelForCausalLM, path, precision, **quantized(lora, precision))
    check_weights(told, path)
    if lora is not None:
        add_adapters(model, path, lora)
    return made_ready(ScoringModel, model, gradient_checkpointing, compiled)


def loaded(kind: Any, path: str, precision: torch.dtype | Literal["auto"], **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """The model that transformers' class `kind` loads from `path`, "auto" in its own precision, and what was amiss.

    Code that comes with a model is never run. Raises ModelError when there is no model.
    """
    from transformers.utils import logging

    check_model(path)
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(path, dtype=precision, trust_remote_code=False, output_loading_info=True, **options)
    except FAULTS as error:
        raise ModelError(f"the model cannot be loaded: {first_line(error)}", path, _CURE) from error


def check_weights(told: Mapping[str, Any], path: str, drawn: str | None = None) -> None:
    """Refuse a model that was loaded without some of its weights, other than those that are `drawn` at random. Raises ModelError."""
    missing = {*told["missing_keys"]} - {drawn}
    if missing:
        what = f"{len(missing)} weights are missing, the first: {min(missing)}"
        raise ModelError(what, path, "write or download the model again: without them it would answer at random")


def adapted(directory: Path, precision: torch.dtype | Literal["auto"] = "auto", **options: Any) -> Any:
    """The base model of the LoRA adapter in `directory`, by default in its own precision, with the adapter.

    Raises ModelError when either is not there, or they do not belong together.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter_rank(directory)
    base = str(adapter_base(directory))
    try:
        return PeftModel.from_pretrained(loaded(AutoModelForCausalLM, base, precision, **options)[0], str(directory))
    except FAULTS as error:
        cure = "the adapter belongs to another model, or is damaged: give the one that it was trained on"
        raise ModelError(f"the adapter does not fit {base}: {first_line(error)}", str(directory), cure) from error


def merged(directory: Path, precision: torch.dtype | Literal["auto"] = "auto") -> Any:
    """The base model with what the LoRA adapter in `directory` adds to its weights. Raises ModelError (see adapted)."""
    return adapted(directory, precision).merge_and_unload(safe_merge=True)


def made_ready(kind: type[Scoring], model: Any, gradient_checkpointing: bool, compiled: bool) -> Scoring:
    """A loaded model as something that measures packed responses, always in the same way.

    It lies where it will compute, so that its layout is the one that is right there.
    """
    if torch.cuda.is_available():
        model.to(torch.device("cuda", torch.cuda.current_device()))
    model.config.use_cache = False
    without_dropout(model)
    if gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    scoring = kind(model)
    if compiled:
        compile_layers(model.get_decoder())
    return scoring


def without_dropout(model: Any) -> None:
    """Scores are functions of the weights: what is scored twice, or by two models, must come out the same."""
    for module in model.modules():
        for name, value in vars(module).items():
            if name.endswith("dropout") and isinstance(value, float):
                setattr(module, name, 0.0)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def load_reference(path: str, precision: torch.dtype, device: torch.device, compiled: bool = False) -> ScoringModel:
    """The model at `path`, frozen."""
    return load_policy(path, precision, compiled=compiled).to(device).eval().requires_grad_(False)


def load_tokenizer(path: str, alone: bool = False) -> Any:
    """The tokenizer at `path`, where `alone` no weights need to lie; a missing padding token becomes the end token.

    Raises ModelError when there is none.
    """
    from transformers import AutoTokenizer

    if not alone:
        check_model(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except FAULTS as error:
        raise ModelError(f"the tokenizer cannot be loaded: {first_line(error)}", path, _CURE) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def compile_layers(decoder: Any) -> None:
    """Have torch.compile fuse feed-forward layers and norms.

    Their `forward` is replaced, not the modules: an engine's hooks stay outside what is compiled.
    """
    for module in decoder.modules():
        if type(module).__name__.endswith(("MLP", "RMSNorm", "LayerNorm")):
            module.forward = torch.compile(module.forward, dynamic=True)

"""The proof that a directory is a model: what is in it is whole, and transformers loads it and computes with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.model_files import adapter_base, adapter_rank, check_model, engine_shape, local_model, tensor_files
from orchestrator.errors import ModelError
from orchestrator.policy.loading import adapted, load_tokenizer, loaded

# Of the memory that is free; the rest is for what a forward pass needs.
_SHARE = 0.7
_QUESTION = [{"role": "user", "content": "Are you there?"}]
_CURE = "export another checkpoint: this one is damaged, or its training went wrong"


def check_loads(directory: Path) -> str:
    """What was checked, in a sentence: files, weights, tokenizer, and a forward pass where the weights fit into memory.

    Takes a model or a LoRA adapter. Raises ModelError when it is not one that others can load.
    """
    base = adapter_base(directory)
    if base is None:
        check_model(str(directory))
        engine_shape(directory)
    else:
        adapter_rank(directory)
    whole = directory if base is None else local_model(base)
    needed = sum(file.stat().st_size for place in {directory, whole} for file in tensor_files(place))
    fits = needed < _SHARE * _free_memory()
    options: dict[str, Any] = {} if fits else {"device_map": "meta"}
    model = _complete(directory, **options) if base is None else adapted(directory, **options)
    tokenizer = load_tokenizer(str(directory), alone=True)
    asked = _asked(tokenizer)
    note = _unknown_tokens(model, tokenizer, asked, directory)
    if not fits:
        size = f"{needed / 2**30:.1f} GiB of weights are more than this machine's free memory"
        checked = "every weight is there in the shape that the configuration asks for, and the tokenizer"
        return f"checked: {checked}; nothing was computed: {size}{note}"
    _compute(model, asked, directory)
    return f"checked: transformers loads weights, configuration and tokenizer, and computes finite logits{note}"


def _complete(directory: Path, **options: Any) -> Any:
    """The model, none of whose weights is missing: transformers would make them up."""
    from transformers import AutoModelForCausalLM

    model, told = loaded(AutoModelForCausalLM, str(directory), "auto", **options)
    missing = sorted({*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])})
    if missing:
        raise ModelError(f"weights are missing or of the wrong shape: {', '.join(missing[:3])}", str(directory), _CURE)
    return model


def _asked(tokenizer: Any) -> list[int]:
    """The tokens of a question, in the chat template where there is one."""
    if tokenizer.chat_template:
        return tokenizer.apply_chat_template(_QUESTION, add_generation_prompt=True, return_dict=False)
    return tokenizer(_QUESTION[0]["content"])["input_ids"]


def _unknown_tokens(model: Any, tokenizer: Any, asked: Sequence[int], directory: Path) -> str:
    """What is to be noted of tokens that the model has no embeddings for: a tokenizer may name some that no text is written with.

    Raises ModelError where the question or the end of an answer has one.
    """
    size = model.config.get_text_config().vocab_size
    ends = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    if (largest := max((*asked, *ends))) >= size:
        raise ModelError(f"the tokenizer writes token {largest}, and the model has embeddings for {size}", str(directory), _CURE)
    surplus = len(tokenizer) - size
    return f"; the model has no embeddings for {surplus} of the tokenizer's tokens, none of which a question needs" if surplus > 0 else ""


def _compute(model: Any, tokens: Sequence[int], directory: Path) -> None:
    import torch

    with torch.no_grad():
        logits = model.eval()(torch.tensor([list(tokens)])).logits
    if not torch.isfinite(logits).all():
        raise ModelError("the model's logits are not finite", str(directory), _CURE)


def _free_memory() -> int:
    """Bytes that a process may still take."""
    import psutil

    return psutil.virtual_memory().available

"""Adapters and the model that they were trained on as one model."""

import os
import shutil
from pathlib import Path

import torch

from evals.model_files import adapter_base
from orchestrator.errors import ModelError
from orchestrator.policy.loading import load_tokenizer, loaded


def merge_adapters(adapter: Path, directory: Path, precision: torch.dtype) -> None:
    """Write the adapter's base with the adapter added to its weights, in `precision`, and the adapter's tokenizer: all of it or nothing.

    A base that was trained in four bits is taken whole. What is in `directory` already is left. Raises ModelError for what is no adapter.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if directory.is_dir():
        return
    base = adapter_base(adapter)
    if base is None:
        raise ModelError("this directory holds no LoRA adapter", str(adapter), "give one that a run with training.lora has written")
    model = PeftModel.from_pretrained(loaded(AutoModelForCausalLM, base, precision)[0], str(adapter)).merge_and_unload()
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    load_tokenizer(str(adapter), alone=True).save_pretrained(partial)
    os.replace(partial, directory)

"""Adapters and the model that they were trained on as one model."""

from pathlib import Path

import torch

from evals.whole_files import making
from orchestrator.policy.loading import load_tokenizer, merged


def merge_adapters(adapter: Path, directory: Path, precision: torch.dtype) -> None:
    """Write the adapter's base with the adapter added to its weights, in `precision`, and the adapter's tokenizer: all of it or nothing.

    A base that was trained in four bits is taken whole. What is in `directory` already is left. Raises ModelError for what is no adapter.
    """
    if directory.is_dir():
        return
    model = merged(adapter, precision)
    with making(directory) as partial:
        model.save_pretrained(partial)
        load_tokenizer(str(adapter), alone=True).save_pretrained(partial)

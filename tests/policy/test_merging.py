"""Adapters that are merged into their base give the model that they gave beside it."""

from pathlib import Path

import pytest
import torch

from orchestrator.errors import ModelError
from orchestrator.policy.merging import merge_adapters
from tests.evals.tiny_model import make_adapter

TOKENS = torch.tensor([[5, 9, 2, 7, 30, 12]])


def logits(model: Path | str, adapter: Path | None = None) -> torch.Tensor:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    whole = PeftModel.from_pretrained(loaded, str(adapter)) if adapter is not None else loaded
    with torch.no_grad():
        return whole.eval()(TOKENS).logits


def test_a_merged_model_answers_as_base_and_adapter_do_and_has_its_tokenizer(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    adapter, merged = make_adapter(tmp_path / "adapter", tiny_model, seed=0, scale=0.1), tmp_path / "merged"
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(adapter)
    merge_adapters(adapter, merged, torch.float32)
    assert torch.allclose(logits(merged), logits(tiny_model, adapter), atol=1e-4)
    assert not torch.allclose(logits(merged), logits(tiny_model), atol=1e-2)
    assert AutoTokenizer.from_pretrained(merged).chat_template == AutoTokenizer.from_pretrained(tiny_model).chat_template
    assert not (merged / "adapter_config.json").exists() and sorted(tmp_path.iterdir()) == [adapter, merged]


def test_what_was_merged_is_left_and_what_a_killed_process_left_is_replaced(tiny_model: Path, tmp_path: Path) -> None:
    adapter, merged = make_adapter(tmp_path / "adapter", tiny_model, seed=0), tmp_path / "merged"
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(adapter)
    left = tmp_path / ".merged.0.partial"
    left.mkdir()
    (left / ".lock").touch(), (left / "stray").touch()
    merge_adapters(adapter, merged, torch.bfloat16)
    before = (merged / "model.safetensors").stat().st_mtime_ns
    merge_adapters(adapter, merged, torch.bfloat16)
    assert (merged / "model.safetensors").stat().st_mtime_ns == before and not (merged / "stray").exists()
    assert not left.exists()


def test_a_whole_model_is_not_taken_for_adapters(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no LoRA adapter"):
        merge_adapters(tiny_model, tmp_path / "merged", torch.float32)

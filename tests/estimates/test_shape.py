"""What a model consists of is told by its configuration, for every kind that is reckoned with."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, DeepseekV2Config, GPT2Config, LlamaConfig, Mamba2Config

from orchestrator.cluster.runs import planning
from orchestrator.errors import ModelError
from orchestrator.estimates.shape import shape_of
from orchestrator.policy.adapters import add_adapters
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.search.plan import make_plan
from orchestrator.settings import LoraSettings, Settings, TrainingSettings

GPT2 = GPT2Config(n_embd=32, n_head=2, n_layer=2, vocab_size=64)
LLAMA = LlamaConfig(hidden_size=32, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2, vocab_size=64)
MAMBA = Mamba2Config(hidden_size=32, num_heads=4, head_dim=16, num_hidden_layers=1, vocab_size=64, n_groups=1, state_size=8)


def written(config: Any, directory: Path) -> str:
    """Where a configuration lies, without weights."""
    config.save_pretrained(directory)
    return str(directory)


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
@pytest.mark.parametrize("lora", [LoraSettings(rank=4), None], ids=["adapters", "whole"])
def test_as_many_weights_are_counted_as_are_trained(config: Any, lora: LoraSettings | None, tmp_path: Path) -> None:
    made: Any = AutoModelForCausalLM.from_config(config)
    if lora is not None:
        add_adapters(made, str(tmp_path), lora)
    found = shape_of(written(config, tmp_path), TrainingSettings(lora=lora))
    assert found.trained == sum(weight.numel() for weight in made.parameters() if weight.requires_grad)


def test_experts_of_which_nobody_says_how_many_are_asked_are_all_asked(tmp_path: Path) -> None:
    config = DeepseekV2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64, n_routed_experts=4, moe_intermediate_size=8
    )
    assert config.num_experts_per_tok is None
    assert shape_of(written(config, tmp_path), TrainingSettings()).active == 1


def test_a_model_that_is_not_reckoned_with_is_refused_by_a_plan_and_searched_without_an_estimate(
    tmp_path: Path, tokenized_pairs: Sequence[TokenizedPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = written(MAMBA, tmp_path)
    with pytest.raises(ModelError, match="what a model of the type 'mamba2' takes cannot be told"):
        shape_of(model, TrainingSettings())
    monkeypatch.setattr(planning, "seen_gpu", lambda: None)
    given = {"model": {"base": model}, "data": {"train": "t.jsonl"}, "evaluation": {"prompts": str(tmp_path / "p.jsonl")}}
    (tmp_path / "p.jsonl").write_text('{"prompt": "Hi"}\n')
    settings = Settings.model_validate({**given, "judge": {"kind": "verifier"}, "training": {"batch_size": 1}})
    plan = make_plan(settings, len(tokenized_pairs), 0.0, 1, 0)
    assert planning.expected(settings, SimpleNamespace(pairs=tokenized_pairs), plan) is None

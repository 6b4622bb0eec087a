"""What is no model is refused with a cure, before anything is loaded; and a tokenizer always can pad."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from evals.model_files import check_model
from orchestrator.errors import ModelError
from orchestrator.policy.loading import load_policy, load_reference, load_tokenizer, made_ready
from orchestrator.policy.reward_model import load_reward_policy
from orchestrator.policy.scoring_model import ScoringModel


def refused(directory: Path) -> ModelError:
    """The error that a directory's tokenizer raises."""
    with pytest.raises(ModelError) as error:
        load_tokenizer(str(directory))
    assert error.value.where == str(directory)
    assert "save_pretrained" in error.value.cure
    return error.value


def test_a_directory_without_a_config_is_no_model(tmp_path: Path) -> None:
    assert "no config.json" in refused(tmp_path).what


def test_a_directory_that_is_not_there_is_said_to_be_absent(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent").what == "there is no such model directory"


@pytest.mark.parametrize("path", ["./absent", "../absent", "~/absent", "/absent"])
def test_what_looks_like_a_path_is_never_taken_for_a_hub_identifier(path: str) -> None:
    with pytest.raises(ModelError, match="no such model directory"):
        check_model(path)


def test_a_hub_identifier_passes_the_check() -> None:
    check_model("owner/name")


def test_a_model_without_a_tokenizer_is_refused_with_a_cure(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_model / name, tmp_path / name)
    assert "no tokenizer" in refused(tmp_path).what


def test_a_model_without_weights_is_refused_with_a_cure(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_model / "config.json", tmp_path / "config.json")
    with pytest.raises(ModelError, match="no weights"):
        load_policy(str(tmp_path), torch.float32)


def test_weights_that_were_cut_off_are_refused_with_a_cure(tiny_model: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="the model cannot be loaded: ") as error:
        load_policy(str(broken), torch.float32)
    assert "*.safetensors" in error.value.cure


@pytest.mark.parametrize("load", [load_policy, partial(load_reward_policy, padding=0)], ids=["policy", "reward model"])
def test_a_model_that_lacks_a_weight_is_refused_though_a_reward_models_head_may_be_new(
    load: Callable[..., ScoringModel], tiny_model: Path, tmp_path: Path
) -> None:
    lacking = shutil.copytree(tiny_model, tmp_path / "lacking")
    weights = load_file(lacking / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, the first: model\.layers\.1\.mlp\.down_proj\.weight") as error:
        load(str(lacking), precision=torch.float32)
    assert "download the model again" in error.value.cure
    load(str(tiny_model), precision=torch.float32)


def test_a_missing_padding_token_becomes_the_end_token(tiny_model: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    config = json.loads((bare / "tokenizer_config.json").read_text())
    (bare / "tokenizer_config.json").write_text(json.dumps({key: value for key, value in config.items() if key != "pad_token"}))
    tokenizer = load_tokenizer(str(bare))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert load_tokenizer(str(tiny_model)).pad_token == "<|pad|>"


def test_a_policy_is_trainable_and_a_reference_is_frozen_in_the_precision_asked_for(tiny_model: Path) -> None:
    policy = load_policy(str(tiny_model), torch.bfloat16)
    reference = load_reference(str(tiny_model), torch.float32, torch.device("cpu"))
    assert {(parameter.dtype, parameter.requires_grad) for parameter in policy.parameters()} == {(torch.bfloat16, True)}
    assert {(parameter.dtype, parameter.requires_grad) for parameter in reference.parameters()} == {(torch.float32, False)}
    assert not reference.training


def test_a_models_layout_is_looked_for_where_it_will_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    class Loaded(torch.nn.Module):
        config = SimpleNamespace()

        def to(self, *where: Any, **how: Any) -> "Loaded":
            done.extend(where)
            return self

    def scoring(model: Loaded) -> ScoringModel:
        done.append("layout")
        return cast("ScoringModel", model)

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 3)
    made_ready(cast("type[ScoringModel]", scoring), Loaded(), gradient_checkpointing=False, compiled=False)
    assert done == [torch.device("cuda", 3), "layout"]

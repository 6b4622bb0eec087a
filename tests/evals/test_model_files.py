"""Model directories: what is refused before an engine is started, and what may share one."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evals.errors import ModelError
from evals.model_files import engine_shape, fingerprint, local_model, model_stamp, read_config


def copy(model: Path, to: Path) -> Path:
    return Path(shutil.copytree(model, to / "copy"))


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_directory_that_lacks_a_part_is_no_model(model_a: Path, tmp_path: Path, lacking: str) -> None:
    broken = copy(model_a, tmp_path)
    (broken / lacking).unlink()
    (broken / "chat_template.jinja").unlink()
    with pytest.raises(ModelError) as refusal:
        model_stamp(broken)
    assert refusal.value.where == str(broken)
    assert "save_pretrained" in refusal.value.cure


def test_a_directory_that_does_not_exist_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model directory") as refused:
        model_stamp(tmp_path / "absent")
    assert refused.value.code == "DAA-0301"


def test_weights_cut_off_by_a_fault_are_refused_by_their_file(model_a: Path, tmp_path: Path) -> None:
    broken = copy(model_a, tmp_path)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be read") as refusal:
        engine_shape(broken)
    assert refusal.value.where == str(weights)


def test_a_rewritten_file_changes_the_stamp(model_a: Path, tmp_path: Path) -> None:
    model = copy(model_a, tmp_path)
    before = model_stamp(model)
    assert model_stamp(model) == before
    os.utime(model / "model.safetensors", ns=(1, 1))
    assert model_stamp(model) != before


def test_other_weights_of_one_model_share_an_engine_and_a_wider_model_does_not(model_a: Path, model_b: Path, wide_model: Path) -> None:
    assert engine_shape(model_a) == engine_shape(model_b)
    assert engine_shape(model_a) != engine_shape(wide_model)


def test_marks_of_the_saving_library_do_not_cost_an_engine(model_a: Path, tmp_path: Path) -> None:
    model = copy(model_a, tmp_path)
    config = json.loads((model / "config.json").read_text()) | {"transformers_version": "4.0.0"}
    config["torch_dtype"] = config.pop("dtype")
    (model / "config.json").write_text(json.dumps(config))
    assert engine_shape(model) == engine_shape(model_a)
    assert read_config(model)["dtype"] == "float32"


@pytest.mark.parametrize("file", ["chat_template.jinja", "generation_config.json"])
def test_another_template_or_end_token_needs_another_engine(model_a: Path, tmp_path: Path, file: str) -> None:
    model = copy(model_a, tmp_path)
    (model / file).write_text('{"eos_token_id": 7}')
    assert engine_shape(model) != engine_shape(model_a)


@pytest.mark.parametrize("name", ["a.head", "body.5.head", "score.weight"])
def test_models_that_differ_in_one_small_tensor_have_different_names_and_copies_the_same(name: str, tmp_path: Path) -> None:
    body = {f"body.{number}": np.full((1 << 18,), number, np.float32) for number in range(24)}
    for model, value in (("helpful", 1.0), ("safe", 2.0), ("copy", 1.0)):
        (tmp_path / model).mkdir()
        save_file({**body, name: np.full((64,), value, np.float32)}, tmp_path / model / "model.safetensors")
    assert len({fingerprint(tmp_path / model) for model in ("helpful", "safe")}) == 2
    assert fingerprint(tmp_path / "copy") == fingerprint(tmp_path / "helpful")


def test_a_large_file_of_weights_that_is_no_safetensors_has_a_name_too(tmp_path: Path) -> None:
    names = set()
    header = json.dumps({"a": {"data_offsets": [-(1 << 40), 4]}, "b": {"data_offsets": [1 << 90, 4]}, "c": 1}).encode()
    for begin in (b"\xff" * 8, (0).to_bytes(8, "little"), len(header).to_bytes(8, "little") + header):
        for end in (b"one", b"two"):
            (tmp_path / "model.safetensors").write_bytes(begin + b"\xff" * (1 << 23) + end)
            names.add(fingerprint(tmp_path))
    assert len(names) == 6


def test_a_hub_identifier_is_downloaded_and_a_directory_stays_where_it_is(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(model: str, allow_patterns: list[str]) -> str:
        asked.append(model)
        return str(tiny_model)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert local_model("owner/name") == tiny_model
    assert local_model(str(tiny_model)) == tiny_model
    assert asked == ["owner/name"]


def test_a_hub_that_is_out_of_reach_is_a_refusal_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: str, allow_patterns: list[str]) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelError, match="cannot be downloaded: no network") as refused:
        local_model("owner/name")
    assert refused.value.code == "DAA-0302"
    assert "HF_TOKEN" in refused.value.cure

"""Model directories that are damaged, mismatched or made to do harm are refused with their place and a cure; nothing of theirs is run."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.judges.reward_model import RewardModel, response_question
from evals.model_files import check_adapter, check_model, engine_shape
from evals.prompts import EvaluationPrompt, Message
from evals.rendering import encode_conversation
from orchestrator.errors import CheckpointError, DaaError, ModelError
from orchestrator.objectives import METHODS
from orchestrator.policy.loading import load_policy, load_tokenizer
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.preferences.templates import answer_template
from orchestrator.training.checkpoint import latest_checkpoint, read_checkpoint, restore
from orchestrator.training.inputs import check_vocabulary
from orchestrator.training.local_engine import LocalEngine
from tests.evals.tiny_model import make_adapter, make_tiny_model
from tests.hostile.damages import DAMAGES, Damage, Harm, sharded
from tests.training.runs import FAST, tiny_run, train_locally


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to do damage to; harm would leave a file named harm beside it."""
    monkeypatch.setenv("DAA_HARM", str(tmp_path / "harm"))
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_refused_with_place_and_cure_and_nothing_of_it_is_run(damage: Damage, model: Path) -> None:
    damage(model)
    with pytest.raises(ModelError) as refused:
        load_policy(str(model), torch.float32)
    assert refused.value.code == "DAA-0300" and str(model) in refused.value.where and refused.value.cure
    assert not (model.parent / "harm").exists()


def test_a_missing_shard_is_refused_before_anything_is_loaded(model: Path) -> None:
    sharded(model)
    with pytest.raises(ModelError, match=r"the first: model-00002-of-00002\.safetensors"):
        check_model(str(model))


TOKENIZERS = {
    "not JSON": ("tokenizer.json", "{"),
    "an empty table": ("tokenizer.json", "{}"),
    "a configuration that is not JSON": ("tokenizer_config.json", "{"),
    "a configuration that is a list": ("tokenizer_config.json", "[]"),
    "a template with a mistake": ("chat_template.jinja", "{% for %}"),
    "a template that divides by zero": ("chat_template.jinja", "{{ 1 / 0 }}"),
    "a template that looks for Python": ("chat_template.jinja", "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "a template that counts for ever": ("chat_template.jinja", "{% for i in range(10 ** 9) %}{% endfor %}"),
    "a template that looks beyond the end": ("chat_template.jinja", "{{ messages[5]['x']['y'] }}"),
    "an end token that is a word": ("generation_config.json", '{"eos_token_id": "x"}'),
}


@pytest.mark.parametrize(("name", "content"), TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_damaged_tokenizer_or_template_is_refused_with_place_and_cure(name: str, content: str, model: Path) -> None:
    (model / name).write_text(content)
    with pytest.raises(ModelError) as refused:
        answer_template(load_tokenizer(str(model)))
    assert str(model) in refused.value.where and refused.value.cure


def test_a_tokenizer_without_a_template_is_refused_under_its_code_until_it_has_one(model: Path) -> None:
    template = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").unlink()
    with pytest.raises(ModelError) as refused:
        encode_conversation(load_tokenizer(str(model)), [Message("user", "hi")], 64, "prompt 1")
    assert refused.value.code == "DAA-0303" and "put a `chat_template.jinja` beside the tokenizer" in refused.value.cure
    (model / "chat_template.jinja").write_text(template)
    assert encode_conversation(load_tokenizer(str(model)), [Message("user", "hi")], 64, "prompt 1")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_where_data_use_them_and_only_there(model: Path) -> None:
    tokenizer = load_tokenizer(str(model))
    tokenizer.add_tokens([f"extra{number}" for number in range(50)])
    check_vocabulary(tokenizer, str(model), [TokenizedPair((1, 2), (3,), (4,))])
    with pytest.raises(ModelError, match="the tokenizer writes token 321, and the model has embeddings for 320") as refused:
        check_vocabulary(tokenizer, str(model), [TokenizedPair((1, 2), (3,), (4,)), TokenizedPair((1, 2), (3,), (321,))])
    assert refused.value.where == str(model) and "tokenizer" in refused.value.cure


def test_an_adapter_of_another_base_is_refused_and_one_of_this_base_is_not(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", tiny_model, seed=0)
    check_adapter(adapter, tiny_model)
    with pytest.raises(ModelError, match="the adapter is another model's") as refused:
        check_adapter(adapter, make_tiny_model(tmp_path / "wide", seed=0, hidden=128))
    assert refused.value.where == str(adapter) and "trained on" in refused.value.cure


def test_a_reward_model_without_its_head_is_refused_and_rewards_nothing_at_random(tiny_model: Path) -> None:
    question = response_question(EvaluationPrompt("1", (Message("user", "hi"),)), "hello")
    with pytest.raises(ModelError, match="no reward head"):
        RewardModel(str(tiny_model)).ask([question])


def test_any_damage_to_a_file_is_refused_or_overlooked_and_never_an_accident(model: Path) -> None:
    for file in sorted(model.iterdir()):
        whole = file.read_bytes()
        for content in (b"", b"\0" * 100, whole[: len(whole) // 2], b"\xff" + whole, b"[" * 10_000):
            file.write_bytes(content)
            for look in (engine_shape, lambda model: answer_template(load_tokenizer(str(model)))):
                try:
                    look(model)
                except DaaError as error:
                    assert error.where and error.cure
        file.write_bytes(whole)


CHECKPOINT_DAMAGES: dict[str, tuple[Damage, str]] = {
    "another method's": (lambda checkpoint: progress(checkpoint, method="simpo"), "DAA-0512"),
    "another number of workers'": (lambda checkpoint: progress(checkpoint, world_size=8), "DAA-0513"),
    "a pickle that does harm": (lambda checkpoint: torch.save(Harm(), checkpoint / "engine" / "local.pt"), "DAA-0510"),
    "truncated": (lambda checkpoint: os.truncate(checkpoint / "engine" / "local.pt", 1000), "DAA-0510"),
    "without its optimiser": (lambda checkpoint: torch.save({"model": {}}, checkpoint / "engine" / "local.pt"), "DAA-0510"),
    "without random numbers": (lambda checkpoint: (checkpoint / "random-0.pt").unlink(), "DAA-0510"),
    "random numbers that do harm": (lambda checkpoint: torch.save(Harm(), checkpoint / "random-0.pt"), "DAA-0510"),
    "without progress": (lambda checkpoint: (checkpoint / "progress.json").write_text("{}"), "DAA-0510"),
    "progress of other types": (lambda checkpoint: progress(checkpoint, step="x"), "DAA-0510"),
}


def progress(checkpoint: Path, **changes: object) -> None:
    """Change what a checkpoint says of itself."""
    file = checkpoint / "progress.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_checkpoints_of_another_method_or_world_and_damaged_ones_are_refused_with_a_cure(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAA_HARM", str(tmp_path / "harm"))
    settings = FAST.model_copy(update={"steps": 4, "checkpoints": 2})
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "run", settings)
    train_locally(run, stop_after=2)
    sound = latest_checkpoint(run.directory)
    assert sound is not None
    engine = LocalEngine(run.policy(), run.settings)
    assert restore(engine, sound, "dpo") == sound.progress
    for name, (damage, code) in CHECKPOINT_DAMAGES.items():
        copy = Path(shutil.copytree(sound.directory, tmp_path / name))
        damage(copy)
        with pytest.raises(CheckpointError) as refused:
            restore(engine, read_checkpoint(copy), "dpo")
        assert refused.value.code == code, name
        assert str(copy) in refused.value.where and refused.value.cure
    assert not (tmp_path / "harm").exists()

"""Adapters are trained and the base is left as it is: it is the reference, in the same memory, and checkpoints are adapters."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS
from orchestrator.policy.adapters import WithoutAdapters, base_of
from orchestrator.policy.loading import load_policy, load_reference
from orchestrator.policy.scores import Needs
from orchestrator.policy.scoring import score_pairs
from orchestrator.preferences.pairs import TokenizedPair, collate
from orchestrator.settings import LoraSettings, TrainingSettings
from orchestrator.training import references
from orchestrator.training.run import TrainingRun
from tests.training.ranks import on_ranks
from tests.training.runs import FAST, metrics, tiny_run, train_locally, train_with_deepspeed

LORA = LoraSettings(rank=4, alpha=16)
ADAPTED = FAST.model_copy(update={"lora": LORA})

Make = Callable[..., TrainingRun]


@pytest.fixture
def make(tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path) -> Make:
    """A run of a method in a directory of its own."""

    def run(method: str, name: str = "one", settings: TrainingSettings = ADAPTED, **changes: Any) -> TrainingRun:
        return tiny_run(METHODS[method](), tiny_model, tokenizer, tokenized_pairs, tmp_path / name, settings.model_copy(update=changes))

    return run


def adapters(run: TrainingRun, step: int = 12) -> dict[str, torch.Tensor]:
    """The exported adapters of a checkpoint."""
    return load_file(run.directory / f"step-{step:06d}" / "model" / "adapter_model.safetensors")


def no_second_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "load_reference", lambda *_, **__: pytest.fail("the base was loaded again"))


@pytest.mark.parametrize("method", ["dpo", "epsilon_dpo", "tdpo2"])
def test_the_base_in_the_policys_memory_is_the_reference(method: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    separate = make(method, "separate")
    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.training.local_engine.base_of", lambda model: None)
        train_locally(separate)
    no_second_model(monkeypatch)
    together = make(method, "together")
    train_locally(together)
    assert metrics(together)[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics(together)[-1]["loss"] < metrics(together)[0]["loss"]
    for one, two in zip(metrics(separate), metrics(together), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-7)
    expected, found = adapters(separate), adapters(together)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(make: Make) -> None:
    whole, broken = make("dpo", "whole"), make("dpo", "broken")
    train_locally(whole)
    train_locally(broken, stop_after=4)
    train_locally(broken)
    expected, resumed = adapters(whole), adapters(broken)
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_a_checkpoint_is_an_adapter_that_peft_loads_and_that_names_its_base(make: Make, tiny_model: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = make("simpo")
    train_locally(run)
    directory = run.directory / "step-000012" / "model"
    assert json.loads((directory / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_model.resolve())
    assert not (directory / "model.safetensors").exists()
    base = AutoModelForCausalLM.from_pretrained(tiny_model).requires_grad_(False)
    tokens = torch.arange(5, 25)[None]
    before = base(tokens).logits
    after = PeftModel.from_pretrained(base, str(directory))(tokens).logits
    assert float((after - before).abs().max()) > 0.01


def test_the_frozen_last_layer_is_given_no_gradient(make: Make, tiny_model: Path, tokenized_pairs: Sequence[TokenizedPair]) -> None:
    policy = load_policy(str(tiny_model), torch.float32, lora=LORA)
    base = base_of(policy)
    assert isinstance(base, WithoutAdapters)
    batch = collate(tokenized_pairs, range(4))
    scores = score_pairs(policy, base, batch, Needs(reference=True))
    scores.log_ratio_margin.sum().backward()
    assert policy.head.weight.grad is None
    given = [name for name, weight in policy.named_parameters() if weight.grad is not None]
    assert given and all("lora_" in name for name in given)
    plain = score_pairs(load_policy(str(tiny_model), torch.float32), None, batch, Needs())
    assert torch.equal(scores.chosen.known_reference_logp, plain.chosen.logp.detach())


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="adapters cannot be added") as refused:
        load_policy(str(tiny_model), torch.float32, lora=LoraSettings(targets=("query",)))
    assert "q_proj" in refused.value.cure


@pytest.mark.parametrize("targets", [("lm_head",), ("q_proj", "lm_head")])
def test_an_adapter_of_the_last_layer_is_refused_which_would_never_be_trained(targets: tuple[str, ...], tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="the last layer cannot have an adapter") as refused:
        load_policy(str(tiny_model), torch.float32, lora=LoraSettings(targets=targets))
    assert "q_proj" in refused.value.cure and "lm_head" not in refused.value.cure


def test_four_bit_weights_learn_beside_their_own_scores(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    no_second_model(monkeypatch)
    lora = LoraSettings(rank=4, alpha=16, quantization="nf4")
    run = make("dpo", precision="bf16", lora=lora, zero_stage=2, learning_rate=5e-3)
    train_locally(run)
    steps = metrics(run)
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert steps[-1]["loss"] < 0.9 * steps[0]["loss"]
    assert set(adapters(run)) == set(adapters_of_plain(make))


def adapters_of_plain(make: Make) -> dict[str, torch.Tensor]:
    run = make("simpo", "plain", steps=1, checkpoints=1)
    train_locally(run)
    return adapters(run, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"zero_stage": 3, "precision": "bf16"}, "zero_stage = 2"), ({"precision": "fp32"}, 'precision = "bf16"')],
)
def test_what_four_bit_weights_cannot_do_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        TrainingSettings(lora=LoraSettings(quantization="nf4"), **changes)


@pytest.mark.cluster
def test_two_ranks_train_adapters_as_one_process_does_at_every_stage(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {0: "dpo", 1: "simpo", 2: "epsilon_dpo", 3: "dpo"}
    runs = {stage: make(method, f"stage-{stage}", zero_stage=stage, steps=4, checkpoints=2) for stage, method in cases.items()}
    on_ranks(2, train_all, list(runs.values()))
    for stage, method in cases.items():
        alone = make(method, f"alone-{stage}", steps=4, checkpoints=2)
        train_locally(alone)
        for one, two in zip(metrics(alone), metrics(runs[stage]), strict=True):
            assert two["loss"] == pytest.approx(one["loss"], abs=2e-6)
        expected, found = adapters(alone, 4), adapters(runs[stage], 4)
        assert set(found) == set(expected)
        assert all(torch.allclose(found[name], expected[name], atol=5e-5) for name in expected), stage


def train_all(rank: int, runs: Sequence[TrainingRun]) -> None:
    for run in runs:
        train_with_deepspeed(rank, run, stop_after=2)
        train_with_deepspeed(rank, run)


def test_dropout_is_off_since_scores_are_functions_of_the_weights(tmp_path: Path, tokenizer: Any) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=128)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    policy = load_policy(str(tmp_path), torch.float32).train()
    reference = load_reference(str(tmp_path), torch.float32, torch.device("cpu"))
    pair = TokenizedPair((5, 6, 7), (8, 9), (10, 11, 12))
    scores = score_pairs(policy, reference, collate([pair], [0]), Needs(reference=True))
    assert torch.equal(scores.chosen.logp, scores.chosen.known_reference_logp)


def test_the_seed_alone_decides_how_adapters_begin(make: Make) -> None:
    def first(run: TrainingRun) -> torch.Tensor:
        return next(value for name, value in run.policy().named_parameters() if "lora_A" in name)

    one, other = make("dpo"), make("dpo", seed=7)
    torch.manual_seed(3)
    begun = first(one)
    torch.manual_seed(4)
    state = torch.get_rng_state()
    assert torch.equal(first(one), begun)
    assert not torch.equal(first(other), begun)
    assert torch.equal(torch.get_rng_state(), state)

"""Sequences that two ranks share train as they do on one: the same losses, the same weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS
from orchestrator.policy.loading import load_policy
from orchestrator.policy.spreading import Spread
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.settings import LoraSettings, TrainingSettings
from orchestrator.training.run import TrainingRun
from tests.training.ranks import on_ranks
from tests.training.runs import FAST, metrics, tiny_run, train_all, train_locally, variant_of, weights

SETTINGS = FAST.model_copy(update={"steps": 3, "checkpoints": 1, "learning_rate": 5e-5, "micro_batch_tokens": 64})
# Ranks, ZeRO stage, method, changes: a loss by pairs, one that needs the reference's logits, one of the whole batch, adapters.
CASES: dict[str, tuple[int, int, str, dict[str, Any]]] = {
    "dpo": (2, 0, "dpo", {}),
    "reference logits": (2, 2, "epsilon_dpo", {}),
    "whole batch, two shares": (4, 3, "alpha_dpo", {}),
    "divergences, checkpointing": (2, 1, "tdpo2", {"gradient_checkpointing": True}),
    "two shares": (4, 1, "simpo", {}),
    "adapters": (2, 2, "dpo", {"lora": LoraSettings(rank=4)}),
}


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with four attention heads that share one head of keys and values, fewer than there are ranks."""
    directory = tmp_path_factory.mktemp("grouped") / "model"
    return variant_of(tiny_model, directory, num_attention_heads=4, num_key_value_heads=1, head_dim=16)


@pytest.fixture(scope="module")
def runs(
    model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TrainingRun]:
    root = tmp_path_factory.mktemp("spread")
    made = {}
    for name, (_, stage, method, changes) in CASES.items():
        settings = SETTINGS.model_copy(update={"zero_stage": stage, "sequence_parallel": 2, **changes})
        made[name] = tiny_run(METHODS[method](), model, tokenizer, tokenized_pairs, root / name, settings)
    for ranks in (2, 4):
        on_ranks(ranks, train_all, [made[name] for name in CASES if CASES[name][0] == ranks])
    return made


@pytest.mark.cluster
@pytest.mark.parametrize("name", CASES)
def test_shared_sequences_train_as_on_one_rank(
    name: str,
    runs: dict[str, TrainingRun],
    model: Path,
    tokenizer: Any,
    tokenized_pairs: Sequence[TokenizedPair],
    tmp_path: Path,
) -> None:
    _, _, method, changes = CASES[name]
    alone = tiny_run(METHODS[method](), model, tokenizer, tokenized_pairs, tmp_path, SETTINGS.model_copy(update=changes))
    train_locally(alone)
    for one, two in zip(metrics(alone), metrics(runs[name]), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=2e-6)
        assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-4)
        assert two["state"] == pytest.approx(one["state"], abs=1e-5)
    if "lora" not in changes:
        expected, found = weights(alone, 3), weights(runs[name], 3)
        assert max(float((found[key] - expected[key]).abs().max()) for key in expected) <= 1e-6


def test_what_cannot_be_shared_is_refused_with_the_cure(model: Path) -> None:
    with pytest.raises(SettingsError, match="3 workers cannot share sequences by 2"):
        TrainingSettings(sequence_parallel=2).check_workers(3)
    policy = load_policy(str(model), torch.float32)
    with pytest.raises(SettingsError, match="attention heads cannot be spread over 3 workers"):
        policy.spread_over(Spread(None, 3, 0))
    policy.use_layout("padded")
    with pytest.raises(SettingsError, match="only packed sequences are spread"):
        policy.spread_over(Spread(None, 2, 0))

"""Compiled layers compute what they did before, and the reference is compiled like the policy."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.objectives import METHODS
from orchestrator.policy.loading import load_policy
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.run import TrainingRun
from tests.training.ranks import on_ranks
from tests.training.runs import FAST, metrics, tiny_run, train_all, train_locally, weights

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a processor")
SETTINGS = FAST.model_copy(update={"steps": 3, "checkpoints": 1, "learning_rate": 5e-5, "micro_batch_tokens": 64})


def test_feed_forward_layers_and_norms_are_compiled_and_attention_is_not(tiny_model: Path) -> None:
    model = load_policy(str(tiny_model), torch.float32, compiled=True).model
    compiled = {type(module).__name__ for module in model.modules() if hasattr(module.forward, "_torchdynamo_orig_callable")}
    assert compiled == {"LlamaMLP", "LlamaRMSNorm"}


@pytest.mark.cluster
def test_compiled_runs_train_as_plain_ones_do_with_spread_weights_too(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    def run(name: str, **changes: Any) -> TrainingRun:
        settings = SETTINGS.model_copy(update=changes)
        return tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / name, settings)

    plain, spread, half = run("plain"), run("spread", compile=True, zero_stage=3), run("half", compile=True, precision="bf16", zero_stage=2)
    train_locally(plain)
    on_ranks(2, train_all, [spread, half])
    expected, found = weights(plain, 3), weights(spread, 3)
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) <= 1e-6
    assert metrics(spread)[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics(half)[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)

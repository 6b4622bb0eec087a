"""DeepSpeed on two gloo ranks does what one process does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.objectives import METHODS
from orchestrator.preferences.pairs import TokenizedPair
from tests.training.runs import FAST, metrics, on_ranks, tiny_run, train_locally, train_with_deepspeed

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(("name", "stage", "micro"), [("dpo", 0, 8), ("alpha_dpo", 1, 4), ("epsilon_dpo", 2, 4), ("rpo_bwd", 3, 8)])
def test_two_ranks_with_accumulation_train_as_one_process_does(
    name: str, stage: int, micro: int, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    alone = tiny_run(METHODS[name](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "alone")
    train_locally(alone)
    settings = FAST.model_copy(update={"zero_stage": stage, "micro_batch_size": micro})
    together = tiny_run(METHODS[name](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "together", settings)
    on_ranks(2, train_with_deepspeed, together)
    for one, two in zip(metrics(alone), metrics(together), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=2e-5)
        assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=2e-3, abs=1e-6)
        assert two["state"] == pytest.approx(one["state"], abs=2e-5)


def test_bf16_with_gradient_checkpointing_learns_and_resumes(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    settings = FAST.model_copy(update={"zero_stage": 2, "precision": "bf16", "gradient_checkpointing": True, "schedule": "cosine"})
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path, settings.model_copy(update={"steps": 12}))
    on_ranks(2, _train_to_the_first_checkpoint, run)
    on_ranks(2, train_with_deepspeed, run)
    steps = metrics(run)
    assert [step["step"] for step in steps] == list(range(1, 13))
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert (run.directory / "step-000012" / "model" / "model.safetensors").is_file()


def _train_to_the_first_checkpoint(rank: int, run: Any) -> None:
    from orchestrator.policy.loading import load_policy
    from orchestrator.training.deepspeed_engine import DeepSpeedEngine
    from orchestrator.training.loop import train

    engine = DeepSpeedEngine(load_policy(run.model, run.settings.dtype, True), run.settings)
    train(run, engine, lambda checkpoint: False)
    engine.close()

"""DeepSpeed on two gloo ranks does what one process does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.errors import CheckpointError
from orchestrator.objectives import METHODS
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.run import TrainingRun
from tests.training.ranks import on_ranks
from tests.training.runs import FAST, metrics, tiny_run, train_locally, train_with_deepspeed, weights

pytestmark = pytest.mark.cluster
CASES = {"dpo": (0, 130), "alpha_dpo": (1, 64), "epsilon_dpo": (2, 64), "rpo_bwd": (3, 130)}
RESUMED = "bf16, checkpointing, resumed"


@pytest.fixture(scope="module")
def runs(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, TrainingRun]:
    """One run for each ZeRO stage and one in bf16 that is interrupted; all trained by the same two processes."""
    root = tmp_path_factory.mktemp("together")
    made = {}
    for name, (stage, tokens) in CASES.items():
        settings = FAST.model_copy(update={"zero_stage": stage, "micro_batch_tokens": tokens})
        made[name] = tiny_run(METHODS[name](), tiny_model, tokenizer, tokenized_pairs, root / name, settings)
    bf16 = FAST.model_copy(update={"zero_stage": 2, "precision": "bf16", "gradient_checkpointing": True, "schedule": "cosine"})
    made[RESUMED] = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, root / "bf16", bf16)
    on_ranks(2, train_all, list(made.values()))
    return made


def train_all(rank: int, runs: Sequence[TrainingRun]) -> None:
    for run in runs:
        if run.settings.precision == "bf16":
            train_with_deepspeed(rank, run, stop_after=4)
        train_with_deepspeed(rank, run)


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_with_accumulation_train_as_one_process_does(
    name: str,
    runs: Mapping[str, TrainingRun],
    tiny_model: Path,
    tokenizer: Any,
    tokenized_pairs: Sequence[TokenizedPair],
    tmp_path: Path,
) -> None:
    alone = tiny_run(METHODS[name](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    train_locally(alone)
    for one, two in zip(metrics(alone), metrics(runs[name]), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=2e-5)
        assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=2e-3, abs=1e-6)
        assert two["state"] == pytest.approx(one["state"], abs=2e-5)
    expected, found = weights(alone, 12), weights(runs[name], 12)
    assert set(found) == set(expected)
    assert all(torch.allclose(found[key], expected[key], atol=1e-4) for key in expected)


def test_bf16_with_gradient_checkpointing_learns_and_resumes(runs: Mapping[str, TrainingRun]) -> None:
    steps = metrics(runs[RESUMED])
    assert [step["step"] for step in steps] == list(range(1, 13))
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert all(tensor.dtype is torch.bfloat16 for tensor in weights(runs[RESUMED], 12).values())


def test_a_checkpoint_of_another_number_of_ranks_is_refused_with_the_cure(runs: Mapping[str, TrainingRun]) -> None:
    with pytest.raises(Exception, match=r"set cluster\.workers = 2, or choose another directory") as refused:
        on_ranks(1, train_with_deepspeed_again, runs["epsilon_dpo"])
    assert CheckpointError.__name__ in str(refused.value)


def train_with_deepspeed_again(rank: int, run: TrainingRun) -> None:
    train_with_deepspeed(rank, run)

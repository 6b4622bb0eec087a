"""After three steps on two ranks the weights are those of one process, at every ZeRO stage, with tied and untied last layers.

And what DeepSpeed does when it is not told otherwise is told: clipping, and how a process that dies leaves its compiled extensions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.objectives import METHODS, make_objective
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.deepspeed_engine import deepspeed_config
from orchestrator.training.run import TrainingRun
from tests.training.ranks import on_fresh_ranks, on_ranks
from tests.training.runs import FAST, metrics, tiny_run, train_all, train_locally, train_with_deepspeed, variant_of, weights

SETTINGS = FAST.model_copy(update={"steps": 3, "checkpoints": 1, "learning_rate": 5e-5, "micro_batch_tokens": 64})
CASES = [(stage, is_tied) for stage in range(4) for is_tied in (False, True)]
# One whose head foretells its gradient, one that needs the reference's logits, one whose pairs depend on one another.
KINDS = ("dpo", "tdpo2", "alpha_dpo", "epsilon_dpo")


def method(stage: int, is_tied: bool) -> str:
    return KINDS[(stage + 2 * is_tied) % len(KINDS)]


@pytest.fixture(scope="module")
def models(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[bool, Path]:
    """The tiny model, and one of its shape whose last layer is its embedding."""
    return {False: tiny_model, True: variant_of(tiny_model, tmp_path_factory.mktemp("tied") / "model", tie_word_embeddings=True)}


@pytest.fixture(scope="module")
def runs(
    models: Mapping[bool, Path], tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[tuple[int, bool], TrainingRun]:
    """A run for each case, all trained by the same two processes."""
    root = tmp_path_factory.mktemp("stages")
    made = {}
    for stage, is_tied in CASES:
        settings = SETTINGS.model_copy(update={"zero_stage": stage})
        place = root / f"{stage}-{is_tied}"
        made[stage, is_tied] = tiny_run(METHODS[method(stage, is_tied)](), models[is_tied], tokenizer, tokenized_pairs, place, settings)
    on_ranks(2, train_all, list(made.values()))
    return made


@pytest.mark.cluster
@pytest.mark.parametrize(("stage", "is_tied"), CASES)
def test_weights_are_those_of_one_process(
    stage: int,
    is_tied: bool,
    runs: Mapping[tuple[int, bool], TrainingRun],
    models: Mapping[bool, Path],
    tokenizer: Any,
    tokenized_pairs: Sequence[TokenizedPair],
    tmp_path: Path,
) -> None:
    alone = tiny_run(METHODS[method(stage, is_tied)](), models[is_tied], tokenizer, tokenized_pairs, tmp_path, SETTINGS)
    train_locally(alone)
    start, expected, found = weights_of(models[is_tied]), weights(alone, 3), weights(runs[stage, is_tied], 3)
    assert set(found) == set(expected) == set(start)
    assert ("lm_head.weight" in found) != is_tied
    moved = max(float((expected[name] - start[name]).abs().max()) for name in expected)
    assert moved > 1e-4
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) <= 3e-6


def weights_of(model: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(model / "model.safetensors")


def test_clipping_is_always_said_since_left_out_it_would_be_one() -> None:
    from deepspeed.runtime.constants import GRADIENT_CLIPPING_DEFAULT

    assert GRADIENT_CLIPPING_DEFAULT == 1.0
    assert deepspeed_config(FAST.model_copy(update={"gradient_clipping": None}))["gradient_clipping"] == 0.0
    assert deepspeed_config(FAST.model_copy(update={"gradient_clipping": 0.25}))["gradient_clipping"] == 0.25


@pytest.mark.cluster
def test_unclipped_gradients_are_not_clipped_and_a_stale_lock_stops_nobody(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a process leaves behind that was killed while it compiled DeepSpeed's collectives.
    lock = tmp_path / "extensions" / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    settings = SETTINGS.model_copy(update={"gradient_clipping": None, "zero_stage": 1, "micro_batch_tokens": 130})
    objective = make_objective("ipo", {"beta": 0.001})
    together, alone = (
        tiny_run(objective, tiny_model, tokenizer, tokenized_pairs, tmp_path / name, settings) for name in ("together", "alone")
    )
    on_fresh_ranks(2, train_with_deepspeed, together)
    train_locally(alone)
    assert metrics(together)[0]["gradient_norm"] > 10
    assert metrics(together)[0]["gradient_norm"] == pytest.approx(metrics(alone)[0]["gradient_norm"], rel=1e-4)
    expected, found = weights(alone, 3), weights(together, 3)
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) <= 3e-6

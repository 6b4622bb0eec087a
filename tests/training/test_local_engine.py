"""Weights of low precision are trained as exactly as those of float32, by one process."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.objectives import METHODS
from orchestrator.policy.loading import load_policy
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.local_engine import LocalEngine
from tests.training.runs import FAST, metrics, tiny_run, train_locally, weights

HALF = FAST.model_copy(update={"precision": "bf16", "gradient_clipping": None})
# Just below 1, a bf16 number is 1/256 from the next: a step of this length alone is rounded away.
RATE = 1e-3


@pytest.fixture
def engine_of_ones(tiny_model: Path) -> Callable[[], LocalEngine]:
    def make() -> LocalEngine:
        model = load_policy(str(tiny_model), torch.bfloat16)
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(1.0)
        return LocalEngine(model, HALF, torch.device("cpu"))

    return make


def add_gradient(engine: LocalEngine, each: float) -> None:
    """Every weight's gradient grows by so much."""
    engine.backward(torch.stack([each * weight.sum() for weight in engine.policy.parameters()]).sum(), True)


def first_weight(engine: LocalEngine) -> Tensor:
    return next(engine.policy.parameters()).detach().flatten()[0]


def test_many_steps_too_small_for_bf16_add_up(engine_of_ones: Callable[[], LocalEngine]) -> None:
    engine = engine_of_ones()
    for _ in range(8):
        add_gradient(engine, 1.0)
        engine.update(RATE)
    assert first_weight(engine).dtype == torch.bfloat16
    assert float(first_weight(engine)) == float(torch.tensor(1 - 8 * RATE).bfloat16()) != 1.0


def test_a_resumed_engine_goes_on_from_between_two_bf16_numbers(engine_of_ones: Callable[[], LocalEngine], tmp_path: Path) -> None:
    whole, resumed = engine_of_ones(), engine_of_ones()
    for step in range(8):
        add_gradient(whole, 1.0)
        whole.update(RATE)
        if step == 0:
            assert float(first_weight(whole)) == 1.0
            whole.save(tmp_path)
            resumed.load(tmp_path)
        else:
            add_gradient(resumed, 1.0)
            resumed.update(RATE)
        assert torch.equal(first_weight(whole), first_weight(resumed))
    assert float(first_weight(resumed)) != 1.0


def test_the_gradients_of_micro_batches_are_summed_and_clipped_in_float32(engine_of_ones: Callable[[], LocalEngine]) -> None:
    engine = engine_of_ones()
    for _ in range(2):
        add_gradient(engine, 256.0)
        add_gradient(engine, 1.0)
        assert engine.update(RATE) == pytest.approx(257.0 * engine.parameters**0.5, rel=1e-4)


def test_a_bf16_run_moves_its_weights_along_those_of_a_float32_one_and_resumes_exactly(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    def trained(name: str, precision: str, *stops: int | None) -> Mapping[str, Tensor]:
        settings = FAST.model_copy(update={"precision": precision, "learning_rate": 1e-5})
        run = tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / name, settings)
        for stop in stops:
            train_locally(run, stop_after=stop)
        assert len(metrics(run)) == 12
        return weights(run, 12)

    exact, half, resumed = trained("exact", "fp32", None), trained("half", "bf16", None), trained("resumed", "bf16", 4, None)
    before = {name: weight.float() for name, weight in load_policy(str(tiny_model), torch.float32).model.state_dict().items()}
    steps = {name: exact[name] - before[name] for name in exact}
    along = sum(float((steps[name] * (half[name].float() - before[name])).sum()) for name in half)
    # Gradients differ in bf16; steps that each are rounded away would leave less than a tenth.
    assert along / sum(float((step**2).sum()) for step in steps.values()) > 0.3
    assert all(torch.equal(half[name], resumed[name]) for name in half)

"""However a global batch is split over ranks and micro-batches, a step is the same, for every method."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from orchestrator.objectives import METHODS, Objective, combine
from orchestrator.objectives.beta_dpo import BetaDPO
from orchestrator.objectives.rloo import RLOO
from orchestrator.objectives.rpo import RPOBackward
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.loop import train
from orchestrator.training.run import TrainingRun
from tests.training.plain_engine import DoublePrecision, PlainEngine
from tests.training.ranks import on_ranks
from tests.training.runs import metrics, tiny_run

STEPS = 2
# One after another, so that what the first computes of the reference is what the others find in the cache.
# A pair has about fifteen tokens.
SPLITS = {"1 rank x 8": (1, 1000), "1 rank x 2 x 4": (1, 64), "2 ranks x 4": (2, 1000), "2 ranks x 2 x 2": (2, 32)}


def variants() -> dict[str, Objective]:
    """Every method as published, and the forms of some that measure something else."""
    published = {name: method() for name, method in METHODS.items()}
    return published | {
        "rpo_bwd, implicit rewards": RPOBackward(reward_beta=0.5),
        "rloo with a penalty": RLOO(beta=0.1),
        "beta_dpo, as the authors'": BetaDPO(compat=True),
        "kto+aot+sft": combine([METHODS["kto"], METHODS["aot"], METHODS["sft"]])(),
    }


def runs_of(split: str, objective: Objective, base: TrainingRun) -> TrainingRun:
    """The same run, split another way."""
    settings = base.settings.model_copy(update={"micro_batch_tokens": SPLITS[split][1]})
    return replace(base, objective=objective, settings=settings, directory=base.directory / split.replace(" ", "-"))


def train_split(rank: int, work: tuple[int, Sequence[TrainingRun]]) -> None:
    """Train every run, on as many ranks as there are."""
    ranks, runs = work
    if ranks > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")
    for run in runs:
        train(run, PlainEngine(run, ranks), lambda checkpoint: True)


@pytest.fixture(scope="module")
def trained(
    tiny_model: Path, other_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Mapping[str, TrainingRun]]]:
    """Every variant, trained with every split."""
    root = tmp_path_factory.mktemp("splits")
    settings = DoublePrecision(learning_rate=0.1, batch_size=8, steps=STEPS, checkpoints=1, precision="fp32", warmup=0.0)
    made: dict[str, dict[str, TrainingRun]] = {}
    for number, (name, objective) in enumerate(variants().items()):
        base = tiny_run(objective, tiny_model, tokenizer, tokenized_pairs[:20], root / str(number), settings, [other_model])
        base = replace(base, reference_cache=str(root / "cache"))
        made[name] = {split: runs_of(split, objective, base) for split in SPLITS}
    for split, (ranks, _) in SPLITS.items():
        runs = [of_method[split] for of_method in made.values()]
        if ranks == 1:
            train_split(0, (1, runs))
        else:
            on_ranks(ranks, train_split, (ranks, runs))
    yield made


@pytest.mark.parametrize("split", list(SPLITS)[1:])
@pytest.mark.parametrize("name", variants())
def test_losses_gradients_and_state_are_the_same(name: str, split: str, trained: Mapping[str, Mapping[str, TrainingRun]]) -> None:
    whole, parts = trained[name]["1 rank x 8"], trained[name][split]
    for one, other in zip(metrics(whole), metrics(parts), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-6, abs=1e-9)
        assert other["state"] == pytest.approx(one["state"], rel=1e-6, abs=1e-9)
    expected, found = gradients(whole), gradients(parts)
    assert expected.shape[0] == STEPS
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))
    assert float(expected.abs().max()) > 0


def gradients(run: TrainingRun) -> torch.Tensor:
    """The gradient of every step, (steps, parameters)."""
    return torch.load(run.directory / f"step-{STEPS:06d}" / "engine" / "gradients-0.pt", weights_only=True)

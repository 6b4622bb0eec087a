"""Every method trains under DeepSpeed on one rank and on two, and learns the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.run import TrainingRun
from tests.training.ranks import on_ranks
from tests.training.runs import FAST, LEARNING, metrics, tiny_run, train_all

pytestmark = pytest.mark.cluster
# RLOO's loss is a policy gradient's: it starts at 0 and takes longer to go below it. β-DPO's beta is another for each batch.
STEPS = {"rloo": 12, "beta_dpo": 8}


@pytest.fixture(scope="module")
def runs(
    tiny_model: Path, other_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[int, Mapping[str, TrainingRun]]:
    """Every method's run by number of ranks; ZeRO stages in turn, two micro-batches to a rank where there are two."""
    root = tmp_path_factory.mktemp("methods")
    made: dict[int, dict[str, TrainingRun]] = {}
    for ranks, tokens in ((1, 130), (2, 64)):
        made[ranks] = {}
        for number, (name, objective) in enumerate(LEARNING.items()):
            changes = {"zero_stage": number % 4, "micro_batch_tokens": tokens, "steps": STEPS.get(name, 4), "checkpoints": 1}
            settings = FAST.model_copy(update=changes)
            place = root / str(ranks) / name
            made[ranks][name] = tiny_run(objective, tiny_model, tokenizer, tokenized_pairs, place, settings, [other_model])
        on_ranks(ranks, train_all, list(made[ranks].values()))
    return made


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", LEARNING)
def test_the_loss_falls(name: str, ranks: int, runs: Mapping[int, Mapping[str, TrainingRun]]) -> None:
    steps = metrics(runs[ranks][name])
    assert len(steps) == STEPS.get(name, 4)
    assert steps[-1]["loss"] < steps[0]["loss"]


@pytest.mark.parametrize("name", LEARNING)
def test_two_ranks_learn_what_one_does(name: str, runs: Mapping[int, Mapping[str, TrainingRun]]) -> None:
    for one, two in zip(metrics(runs[1][name]), metrics(runs[2][name]), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-3, abs=1e-4)
        assert two["state"] == pytest.approx(one["state"], rel=1e-2, abs=1e-3)

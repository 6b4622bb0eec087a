"""What training refuses: a loss that is no number, and pairs without what a method needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.errors import DataFormatError, TrainingDivergedError
from orchestrator.objectives import METHODS
from orchestrator.policy.scores import Needs
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.inputs import Inputs, check_needs
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.loop import train
from tests.training.runs import tiny_run


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_loss_that_is_no_number_ends_the_run_before_it_reaches_the_weights(
    method: str, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = tiny_run(METHODS[method](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    policy = run.policy()
    weight = next(policy.parameters())
    weight.data[:] = torch.inf
    with pytest.raises(TrainingDivergedError, match=f"the loss of {method} is nan") as refused:
        train(run, LocalEngine(policy, run.settings), lambda checkpoint: True)
    assert refused.value.code == "DAA-0500"
    assert "lower the learning rate" in refused.value.cure
    assert torch.isinf(weight).all()
    assert not list(run.directory.glob("step-*"))


def test_a_method_that_needs_rewards_is_refused_for_the_pair_that_has_none() -> None:
    rated, bare = TokenizedPair((1,), (2,), (3,), 1.0, 0.0), TokenizedPair((1,), (2,), (3,))
    needs = {"rpo_bwd": Needs(reward=True), "dpo": Needs()}
    check_needs(needs, Inputs(None, [rated], 0, [rated]), "pairs.jsonl", 0)
    check_needs({"dpo": Needs()}, Inputs(None, [bare], 0, ()), "pairs.jsonl", 0)
    for inputs in (Inputs(None, [rated, bare], 0, ()), Inputs(None, [rated], 0, [bare])):
        with pytest.raises(DataFormatError, match="rpo_bwd need rewards, and pair 2 of the data has none") as refused:
            check_needs(needs, inputs, "pairs.jsonl", 0)
        assert (refused.value.code, refused.value.where) == ("DAA-0212", "pairs.jsonl")
        assert "chosen_reward" in refused.value.cure

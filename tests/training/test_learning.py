"""Every method learns, without Ray and without DeepSpeed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.preferences.pairs import TokenizedPair
from tests.training.runs import LEARNING, metrics, tiny_run, train_locally


@pytest.mark.parametrize("name", LEARNING)
def test_the_loss_falls_and_the_chosen_response_gains_on_the_rejected(
    name: str, tiny_model: Path, other_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = tiny_run(LEARNING[name], tiny_model, tokenizer, tokenized_pairs, tmp_path, references=[other_model])
    train_locally(run)
    steps = metrics(run)
    assert len(steps) == 12
    assert steps[-1]["loss"] < steps[0]["loss"]
    gained = (steps[-1]["chosen_logp"] - steps[-1]["rejected_logp"]) - (steps[0]["chosen_logp"] - steps[0]["rejected_logp"])
    assert gained > 0.1

"""Training on some of the pairs, and against a mixture of references."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.prompts import Message
from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS
from orchestrator.policy.reference_tables import MixedTables
from orchestrator.policy.scoring import reference_scores
from orchestrator.preferences.pairs import TokenizedPair, collate
from orchestrator.preferences.tokenization import tokenize
from orchestrator.settings import SelectionSettings
from orchestrator.training import loop, references
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.references import reference_table, references_of
from orchestrator.training.run import TrainingRun
from orchestrator.training.selecting import selected_pairs
from orchestrator.training.selection_run import choose
from tests.conftest import make_pairs
from tests.training.runs import FAST, tiny_run, train_locally

HALF = SelectionSettings(metric="alignment_potential", fraction=0.5)


@pytest.fixture
def run(tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path) -> TrainingRun:
    """A run of SimPO, which has no reference of its own, on half of the pairs."""
    return replace(tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path), selection=HALF)


def test_implicit_margins_are_those_of_the_model_that_training_starts_from(run: TrainingRun) -> None:
    engine = LocalEngine(run.policy(), run.settings)
    margins = reference_table(run, engine, run.model).mean_margins(run.pairs)
    pair = run.pairs[5]
    tokens = reference_scores(run.policy().eval(), collate(run.pairs, [5])).tokens.detach().double()
    chosen, rejected = tokens[: len(pair.chosen)].mean(), tokens[len(pair.chosen) :].mean()
    assert len(margins) == len(run.pairs)
    assert margins[5] == pytest.approx(abs(float(chosen - rejected)), abs=1e-5)


def test_only_the_selected_pairs_are_trained_on_all_of_them(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = selected_pairs(run, LocalEngine(run.policy(), run.settings))
    trained: set[int] = set()
    step = loop.train_step

    def watched(engine: Any, objective: Any, state: Any, micro_batches: Any, *rest: Any) -> Any:
        trained.update(index for micro in micro_batches for index in micro.pairs.indices.tolist())
        return step(engine, objective, state, micro_batches, *rest)

    monkeypatch.setattr(loop, "train_step", watched)
    train_locally(run)
    assert trained == set(kept)
    assert len(kept) == 32 == run.kept


def test_without_given_steps_an_epoch_is_one_of_the_selected_pairs(run: TrainingRun) -> None:
    epochs = replace(run, settings=FAST.model_copy(update={"steps": None, "epochs": 3.0}))
    assert epochs.steps == 3 * 2
    assert replace(epochs, selection=SelectionSettings()).steps == 3 * 4


def test_a_mixture_of_references_is_the_weighted_sum_of_their_log_probabilities(run: TrainingRun, other_model: Path) -> None:
    engine = LocalEngine(run.policy(), run.settings)
    mixed = replace(run, objective=METHODS["dpo"](), reference={str(run.model): 1.3, str(other_model): -0.3})
    found = references_of(mixed, engine).main
    ours, theirs = (reference_table(mixed, engine, name).tokens for name in mixed.reference)
    assert isinstance(found, MixedTables)
    torch.testing.assert_close(found.of(range(len(mixed.pairs))).tokens, 1.3 * ours - 0.3 * theirs)
    assert not torch.equal(ours, theirs)


def test_another_reference_than_the_start_of_training_moves_the_first_step(run: TrainingRun, other_model: Path) -> None:
    dpo = replace(run, objective=METHODS["dpo"](), selection=SelectionSettings())
    assert loss_of_the_first_step(dpo, "own") == pytest.approx(0.6931, abs=1e-3)
    assert loss_of_the_first_step(replace(dpo, reference={str(other_model): 1.0}), "other") != pytest.approx(0.6931, abs=1e-3)


def test_a_method_that_compares_logits_refuses_a_mixture(run: TrainingRun, other_model: Path) -> None:
    mixed = replace(run, objective=METHODS["epsilon_dpo"](), reference={str(run.model): 2.0, str(other_model): -1.0})
    with pytest.raises(SettingsError, match="epsilon_dpo compares logits"):
        references_of(mixed, LocalEngine(run.policy(), run.settings))


def test_a_run_that_stops_early_goes_on_with_other_pairs_where_it_stopped(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = replace(run, selection=SelectionSettings())
    steps: list[int] = []
    batch = loop.global_batch

    def watched(pairs: int, batch_size: int, step: int, seed: int) -> list[int]:
        steps.append(step)
        return batch(pairs, batch_size, step, seed)

    monkeypatch.setattr(loop, "global_batch", watched)
    train_locally(replace(plain, until=8))
    assert steps == list(range(8))
    train_locally(replace(plain, pairs=plain.pairs[:32]))
    assert steps == list(range(12))


def loss_of_the_first_step(run: TrainingRun, name: str) -> float:
    """The loss before anything is learnt."""
    from orchestrator.training.records import read_records

    own = replace(run, directory=run.directory / name)
    train_locally(own)
    return read_records(own.directory)[0]["loss"]


@pytest.mark.parametrize("held_out", [0, 8])
def test_a_selections_scores_are_those_of_a_run_on_the_same_pairs_unless_it_holds_some_out(
    held_out: int, run: TrainingRun, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [replace(pair, prompt=(Message("user", f"say {number}"),)) for number, pair in enumerate(make_pairs(64))]
    context = 64
    chosen = choose(str(tiny_model), pairs, context, HALF, FAST, run.reference_cache)
    made = tokenize(run.tokenizer, pairs, context, held_out)
    computed: list[str] = []
    whole = references._compute_share
    monkeypatch.setattr(references, "_compute_share", lambda run, engine, name: computed.append(name) or whole(run, engine, name))
    later = replace(run, pairs=made.pairs, validation=made.validation)
    kept = selected_pairs(later, LocalEngine(later.policy(), later.settings))
    assert bool(computed) == bool(made.validation) == (held_out > 0)
    assert held_out or set(kept) == set(chosen.kept)

"""Checkpoints resume exactly, and are whole or absent."""

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.errors import CheckpointError
from orchestrator.objectives import METHODS, method_named
from orchestrator.policy.loading import load_policy
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.training.checkpoint import Progress, latest_checkpoint, restore, save_checkpoint
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.loop import train
from orchestrator.training.run import TrainingRun
from orchestrator.training.taking_over import take_over
from orchestrator.training.tidying import keep_only, step_directory
from tests.power_loss import Power
from tests.training.runs import FAST, metrics, tiny_run, train_locally, weights


@pytest.mark.parametrize("name", [*METHODS, "kto+beta_dpo+sft"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    name: str, tiny_model: Path, other_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    objective, settings = method_named(name)(), FAST.model_copy(update={"steps": 2, "checkpoints": 2, "micro_batch_tokens": 64})

    def run_in(directory: str) -> TrainingRun:
        return tiny_run(objective, tiny_model, tokenizer, tokenized_pairs, tmp_path / directory, settings, [other_model])

    whole, broken = run_in("whole"), run_in("broken")
    train_locally(whole)
    train_locally(broken, stop_after=1)
    train_locally(broken)
    expected, resumed = weights(whole, 2), weights(broken, 2)
    assert all(torch.equal(expected[key], resumed[key]) for key in expected)
    without_time = [[{**step, "telemetry": None} for step in metrics(run)] for run in (whole, broken)]
    assert without_time[0] == without_time[1]


def test_random_numbers_go_on_where_the_checkpoint_left_them(tiny_model: Path, tokenizer: Any, tmp_path: Path) -> None:
    engine = LocalEngine(load_policy(str(tiny_model), torch.float32), FAST)
    torch.manual_seed(7)
    checkpoint = save_checkpoint(engine, tmp_path / "run", Progress(3, "dpo", {}, 1), tokenizer)
    expected = torch.rand(4)
    torch.manual_seed(8)
    restore(engine, checkpoint, "dpo")
    assert torch.equal(torch.rand(4), expected)


def test_a_run_that_nobody_wants_stops_before_its_next_step_and_can_go_on_later(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    whole, unwanted = (
        tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / name) for name in ("whole", "unwanted")
    )
    train_locally(whole)
    torch.manual_seed(0)
    answers = iter([True] * 6 + [False])
    last = train(unwanted, LocalEngine(unwanted.policy(), unwanted.settings), lambda checkpoint: True, lambda: next(answers))
    assert last is not None
    assert last.progress.step == 4
    assert [record["step"] for record in metrics(unwanted)] == [1, 2, 3, 4, 5, 6]
    train_locally(unwanted)
    expected, resumed = weights(whole, 12), weights(unwanted, 12)
    assert all(torch.equal(expected[key], resumed[key]) for key in expected)


def test_a_run_that_is_not_wanted_up_to_its_first_checkpoint_writes_none(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    answers = iter([True, True, False])
    assert train(run, LocalEngine(run.policy(), run.settings), lambda checkpoint: True, lambda: next(answers)) is None
    assert not list(run.directory.glob("step-*"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_first_loss_of_dpo_is_log_two_since_the_reference_is_scored_by_the_same_code(
    precision: str, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    settings = FAST.model_copy(update={"steps": 1, "checkpoints": 1, "precision": precision, "micro_batch_tokens": 64})
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path, settings)
    train_locally(run)
    assert metrics(run)[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_a_checkpoint_is_a_model_that_transformers_loads(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    train_locally(run)
    directory = run.directory / "step-000012" / "model"
    assert AutoModelForCausalLM.from_pretrained(directory).config.vocab_size == len(AutoTokenizer.from_pretrained(directory))


def test_only_the_newest_checkpoint_keeps_its_optimizer(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    train_locally(run)
    assert [path.parent.name for path in sorted(run.directory.glob("step-*/engine"))] == ["step-000012"]
    newest = latest_checkpoint(run.directory)
    assert newest is not None and newest.progress.step == 12


def test_a_checkpoint_that_cannot_be_written_leaves_nothing_that_looks_whole(
    tiny_model: Path, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(load_policy(str(tiny_model), torch.float32), FAST)

    def full_disk(directory: Path) -> None:
        directory.mkdir(parents=True)
        (directory / "half").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine, "save", full_disk)
    with pytest.raises(CheckpointError, match="No space left") as refused:
        save_checkpoint(engine, tmp_path / "run", Progress(3, "dpo", {}, 1), tokenizer)
    assert refused.value.code == "DAA-0511"
    assert "free some disk space" in refused.value.cure
    assert latest_checkpoint(tmp_path / "run") is None
    assert list((tmp_path / "run").iterdir()) == []


def test_a_checkpoint_of_another_method_is_refused(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    train_locally(tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path), stop_after=4)
    with pytest.raises(CheckpointError, match="trained with simpo, not with alphapo"):
        train_locally(tiny_run(METHODS["alphapo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path))


@pytest.mark.parametrize("name", ["progress.json", "engine/local.pt", "model/model.safetensors", "random-0.pt", "files.json"])
def test_a_checkpoint_that_was_cut_short_is_passed_over(
    name: str, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    whole = tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "whole")
    train_locally(whole)
    run = tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "cut")
    train_locally(run, stop_after=4)
    file = run.directory / "step-000004" / name
    os.truncate(file, file.stat().st_size // 2)
    assert latest_checkpoint(run.directory) is None
    train_locally(run)
    expected, found = weights(whole, 12), weights(run, 12)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_checkpoint_with_the_records_up_to_it_outlives_a_loss_of_power(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path, power: Power
) -> None:
    whole, run = (tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / name) for name in ("whole", "run"))
    train_locally(whole)
    train_locally(run, stop_after=4)
    power.fails(run.directory)
    train_locally(run)
    assert [record["step"] for record in metrics(run)] == list(range(1, 13))
    expected, found = weights(whole, 12), weights(run, 12)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_disk_without_room_is_refused_before_anything_is_written(
    tiny_model: Path, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(load_policy(str(tiny_model), torch.float32), FAST)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    monkeypatch.setattr(engine, "export", lambda directory: pytest.fail("it was written"))
    with pytest.raises(CheckpointError, match="a checkpoint takes about"):
        save_checkpoint(engine, tmp_path / "run", Progress(3, "dpo", {}, 1), tokenizer)
    assert latest_checkpoint(tmp_path / "run") is None


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("rate", [FAST.learning_rate, FAST.learning_rate / 2])
def test_a_run_that_takes_up_anothers_training_goes_on_as_that_would_under_its_own_learning_rate(
    rate: float,
    links: bool,
    tiny_model: Path,
    tokenizer: Any,
    tokenized_pairs: Sequence[TokenizedPair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda source, target: (_ for _ in ()).throw(OSError("no links here")))
    donor = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "donor")
    train_locally(replace(donor, keeps_engines=True))
    settings = FAST.model_copy(update={"learning_rate": rate})
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "run", settings)
    assert take_over(step_directory(donor.directory, 4), run.directory)
    assert metrics(run) == metrics(donor)[:4]
    keep_only(donor.directory, {12})
    train_locally(run)
    assert [step["step"] for step in metrics(run)] == list(range(1, 13))
    assert metrics(run)[:4] == metrics(donor)[:4]
    expected, found = weights(donor, 12), weights(run, 12)
    assert all(torch.equal(expected[key], found[key]) for key in expected) == (rate == FAST.learning_rate)


@pytest.mark.parametrize("gone", ["engine", "", "../metrics.jsonl"])
def test_training_that_is_gone_is_not_taken_up(
    gone: str, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    donor = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    train_locally(donor, stop_after=4)
    lost = step_directory(donor.directory, 4) / gone
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    assert not take_over(step_directory(donor.directory, 4), tmp_path / "new")
    assert latest_checkpoint(tmp_path / "new") is None


def test_a_run_that_goes_on_under_another_reference_has_forgotten_the_statistics_of_the_first(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    first = replace(tiny_run(METHODS["bco"](), tiny_model, tokenizer, tokenized_pairs, tmp_path), until=4)
    train_locally(first)
    again = replace(first, model=str(first.directory / "step-000004" / "model"), until=12, compared_since=4)
    train_locally(again, stop_after=8)
    train_locally(again)
    counts = [step["state"]["count"] / (2 * FAST.batch_size) for step in metrics(again)]
    assert counts == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_run_that_takes_up_anothers_training_goes_on_under_its_own_beta_and_resumes_so(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    donor, run, like_it = (
        tiny_run(METHODS["epsilon_dpo"](**{"beta": beta}), tiny_model, tokenizer, tokenized_pairs, tmp_path / name)
        for beta, name in ((0.01, "donor"), (0.3, "run"), (0.01, "like"))
    )
    train_locally(replace(donor, keeps_engines=True))
    for each in (run, like_it):
        assert take_over(step_directory(donor.directory, 4), each.directory)
        for stop in (4, 8, None):
            train_locally(each, stop_after=stop)
    betas = [step["state"]["beta"] for step in metrics(run)]
    assert betas[:4] == pytest.approx([0.01] * 4, rel=0.1) and betas[4:] == pytest.approx([0.3] * 8, rel=0.2)
    assert [step["state"] for step in metrics(like_it)] == [step["state"] for step in metrics(donor)]

"""A run tells what it did with its time: figures that follow from its tokens, its weights and the clock."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from orchestrator.objectives import METHODS
from orchestrator.policy.cost import Cost, cost_of, peak_flops
from orchestrator.policy.gpus import GPUS
from orchestrator.policy.loading import load_policy
from orchestrator.preferences.packing import pack
from orchestrator.preferences.pairs import TokenizedPair, collate
from orchestrator.settings import LoraSettings
from orchestrator.training.records import read_records, told
from orchestrator.training.telemetry import PHASES, Meter, Stopwatch, padding_share
from tests.training.runs import FAST, metrics, tiny_run, train_locally

CPU = torch.device("cpu")
PACKED = pack([(1, 2, 3), (4,)], [[(5, 6), (7,)], [(8,), (9, 10, 11)]])


def test_what_is_timed_inside_another_phase_does_not_count_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((10.0, 12.0, 17.0, 20.0))
    monkeypatch.setattr(Stopwatch, "_now", lambda watch: next(now))
    watch = Stopwatch(CPU)
    with watch("checkpoint"), watch("communication"):
        pass
    found = watch.lap()
    assert found["checkpoint"] == 2 + 3
    assert found["communication"] == 5
    assert set(found) == set(PHASES)
    assert watch.lap() == dict.fromkeys(PHASES, 0.0)


def test_places_are_what_each_layout_computes() -> None:
    assert [PACKED.places(layout) for layout in ("shared", "packed", "padded")] == [6 + 5, 5 + 4 + 2 + 4, 4 * 5]
    assert padding_share([PACKED], "shared") == 0
    assert padding_share([PACKED, PACKED], "padded") == pytest.approx(1 - 11 / 20)


def test_weights_are_counted_where_a_token_passes_through_them(tiny_model: Path) -> None:
    model = load_policy(str(tiny_model), torch.float32)
    whole = sum(weight.numel() for weight in model.parameters())
    cost = cost_of(model)
    assert cost is not None
    embedding = model.model.get_input_embeddings().weight
    is_tied = embedding is model.head.weight
    assert cost.trunk + cost.head + (0 if is_tied else embedding.numel()) == whole
    assert cost.flops(10, 4) == 6 * (10 * cost.trunk + 4 * cost.head)
    adapted = cost_of(load_policy(str(tiny_model), torch.float32, lora=LoraSettings(rank=2)))
    assert adapted is not None and adapted.is_frozen
    assert Cost(2, 3, is_frozen=True).flops(10, 4) == 4 * (20 + 12)


def test_weights_in_four_bits_count_as_what_they_stand_for(tiny_model: Path) -> None:
    pytest.importorskip("bitsandbytes")
    plain, packed = (
        cost_of(load_policy(str(tiny_model), torch.bfloat16, lora=LoraSettings(rank=2, quantization=quantization)))
        for quantization in (None, "nf4")
    )
    assert packed == plain


def test_the_memory_of_a_trial_is_not_that_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    reset: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", reset.append)
    engine: Any = SimpleNamespace(device=torch.device("cuda", 1))
    Meter(engine)
    assert reset == [engine.device]
    Meter(cast("Any", SimpleNamespace(device=CPU)))
    assert len(reset) == 1


def test_the_peak_is_what_the_device_reaches() -> None:
    assert 1e9 < peak_flops(CPU) < 1e14


def test_the_peak_of_a_gpu_is_stated_in_the_one_table_and_measured_of_one_that_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.policy.cost._reached", lambda *_: 1.0)
    for name, rate in (("NVIDIA GB200", GPUS["GB200"].flops), ("NVIDIA L40", GPUS["L40"].flops), ("NVIDIA GH200 480GB", 1.0)):
        monkeypatch.setattr("torch.cuda.get_device_name", lambda device, name=name: name)
        assert peak_flops.__wrapped__(torch.device("cuda")) == rate


def test_every_step_has_its_figures_and_every_checkpoint_a_line_in_the_log(
    tiny_model: Path,
    tokenizer: Any,
    tokenized_pairs: Sequence[TokenizedPair],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    with caplog.at_level(logging.WARNING, logger="orchestrator.training"):
        train_locally(run)
    steps = metrics(run)
    for step in steps:
        figures = step["telemetry"]
        assert figures["pairs_per_second"] == pytest.approx(FAST.batch_size / figures["seconds"], rel=0.02)
        assert 10 < figures["tokens_per_second"] / figures["pairs_per_second"] < 64
        assert figures["padding"] == 0
        assert 0 < figures["mfu"] < 1
        assert figures["memory_mb"] > 10
        assert 0.5 < sum(figures["shares"].values()) <= 1.001
        assert {"data", "forward", "backward", "optimiser"} <= {phase for phase, share in figures["shares"].items() if share > 0}
    assert [step["telemetry"]["shares"]["checkpoint"] > 0 for step in steps] == [step["step"] in (5, 9) for step in steps]
    assert [step["health"] for step in steps][:9] == ["young"] * 9
    lines = [record.getMessage() for record in caplog.records if "tokens/s" in record.getMessage()]
    assert [line.split(":")[0] for line in lines] == [f"step {step}/12" for step in (4, 8, 12)]
    assert told(steps[-1], 12) == lines[-1]


def test_a_resumed_run_drops_what_was_told_of_steps_that_are_taken_again(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = tiny_run(METHODS["simpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    train_locally(run, stop_after=4)
    file = run.directory / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines, lines[-1].replace('"step": 4', '"step": 5'), '{"step": 6, "lo']))
    assert [step["step"] for step in read_records(run.directory)] == [1, 2, 3, 4, 5]
    train_locally(run)
    assert [step["step"] for step in metrics(run)] == list(range(1, 13))


def test_longer_responses_and_drift_are_means_over_pairs(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path)
    train_locally(run)
    first, last = metrics(run)[0], metrics(run)[-1]
    batch = collate(tokenized_pairs, range(len(tokenized_pairs)))
    lengths = batch.responses.lengths
    share = float(((1 + (lengths[:, 0] - lengths[:, 1]).sign()) / 2).mean())
    epoch = [step["longer_chosen"] for step in metrics(run)[:4]]
    assert sum(epoch) / 4 == pytest.approx(share)
    assert first["drift"] == pytest.approx(0, abs=1e-7) and last["drift"] > 0.001


def test_equally_long_responses_say_nothing_of_length(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    alike = [replace(pair, rejected=pair.chosen[::-1]) for pair in tokenized_pairs]
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, alike, tmp_path)
    train_locally(run)
    assert {(step["longer_chosen"], step["longer_wins"]) for step in metrics(run)} == {(0.5, 0.5)}

"""`daa train` on streamed data: a real Ray, Ray Data and two DeepSpeed workers."""

import json
from pathlib import Path

import pytest

from orchestrator.cluster.runs.single_runs import chosen_trial
from orchestrator.cluster.workers.training_workers import training_run
from orchestrator.settings_file import load_settings
from orchestrator.training.records import read_records
from tests.cluster.small_search import RunningCommand, write_small_search
from tests.training.ranks import on_ranks
from tests.training.runs import metrics, train_all

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]
BROKEN = {"prompt": "say fox", "chosen": "fox"}


def settings_of(root: Path, model: Path, streaming: bool) -> Path:
    """A small run of two workers, whose data have one row that cannot be used."""
    settings = write_small_search(root, model, trials=1, steps=6)
    data = f'[data]\nbad_rows = "quarantine"\nstreaming = {str(streaming).lower()}'
    settings.write_text(settings.read_text().replace("[data]", data).replace("workers = 1", "workers = 2"))
    with (root / "train.jsonl").open("a") as lines:
        lines.write(json.dumps(BROKEN) + "\n")
    return settings


def test_two_workers_train_on_a_streamed_set_as_two_ranks_on_one_in_memory(tiny_model: Path, tmp_path: Path) -> None:
    streamed = tmp_path / "streamed"
    file = settings_of(streamed, tiny_model, streaming=True)
    RunningCommand("train", str(file), "dpo", "--dir", str(streamed / "run"), directory=streamed).wait(400)
    (records,) = (streamed / "run" / "checkpoints").iterdir()

    settings = load_settings(settings_of(tmp_path / "memory", tiny_model, streaming=False))
    run = training_run(settings, chosen_trial(settings, ["dpo"]), tmp_path / "memory")
    on_ranks(2, train_all, [run])

    found = [step["loss"] for step in read_records(records)]
    assert found == [step["loss"] for step in metrics(run)]
    assert len(set(found)) == 6
    quarantine = [json.loads(line)["where"] for line in (streamed / "run" / "quarantine.jsonl").read_text().splitlines()]
    assert quarantine == [f"{streamed}/train.jsonl:129"]
    assert list((streamed / "cache" / "tokens" / "shards").rglob("*.arrow"))

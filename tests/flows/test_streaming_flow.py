"""`daa train` on streamed data: a real Ray, Ray Data and two DeepSpeed workers."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.training.records import read_records
from tests.cluster.small_search import RunningCommand, write_small_search

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
BROKEN = {"prompt": "say fox", "chosen": "fox"}


def trained(root: Path, model: Path, streaming: bool) -> tuple[list[Any], list[str]]:
    """The losses of a run of `daa train`, and where its quarantined rows lie."""
    settings = write_small_search(root, model, trials=1, steps=6)
    chosen = f'[data]\nbad_rows = "quarantine"\nstreaming = {str(streaming).lower()}'
    settings.write_text(settings.read_text().replace("[data]", chosen))
    with (root / "train.jsonl").open("a") as lines:
        lines.write(json.dumps(BROKEN) + "\n")
    RunningCommand("train", str(settings), "dpo", "--dir", str(root / "run"), directory=root).wait(400)
    (records,) = (root / "run" / "checkpoints").iterdir()
    quarantine = [json.loads(line)["where"] for line in (root / "run" / "quarantine.jsonl").read_text().splitlines()]
    return [step["loss"] for step in read_records(records)], quarantine


def test_two_workers_train_on_a_streamed_set_as_on_one_in_memory(tiny_model: Path, tmp_path: Path) -> None:
    found, quarantine = trained(tmp_path / "streamed", tiny_model, streaming=True)
    expected, _ = trained(tmp_path / "memory", tiny_model, streaming=False)
    assert found == expected
    assert len(set(found)) == 6
    assert quarantine == [f"{tmp_path / 'streamed' / 'train.jsonl'}:129"]
    assert list((tmp_path / "streamed" / "cache" / "tokens" / "shards").rglob("*.arrow"))

"""Streamed preference data, on a real Ray: the same pairs, batches, losses and refusals as of data in memory, and no half shards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.session import ray_session
from orchestrator.cluster.workers.streaming import POINTER, stream_inputs, streamed_inputs
from orchestrator.errors import DataFormatError
from orchestrator.objectives import METHODS
from orchestrator.settings import ClusterSettings, Settings
from orchestrator.training.inputs import Inputs, load_inputs
from tests.conftest import make_pairs
from tests.hostile.test_data import BROKEN_ROWS
from tests.preferences.files import write_gzip, write_lines, write_parquet
from tests.training.runs import metrics, tiny_run, train_locally, weights

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One small Ray for all tests of this file."""
    with ray_session(ClusterSettings(workers=1, cpus_per_worker=0.5), tmp_path_factory.mktemp("ray")):
        yield


def settings_of(model: Path, root: Path, **data: Any) -> Settings:
    """Settings of a run whose data are streamed."""
    (root / "prompts.jsonl").write_text("")
    return Settings.model_validate(
        {
            "model": {"base": str(model)},
            "data": {"context": 64, "streaming": True} | data,
            "evaluation": {"prompts": str(root / "prompts.jsonl")},
            "judge": {"kind": "verifier"},
            "cache": str(root / "cache"),
        }
    )


def streamed(settings: Settings, directory: Path, said: list[str] | None = None) -> Inputs:
    """The inputs of a run, streamed."""
    stream_inputs(settings, directory, (said if said is not None else []).append)
    return streamed_inputs(settings, directory)


def in_memory(settings: Settings) -> Inputs:
    """The inputs of the same run, in memory."""
    assert settings.model.base is not None
    return load_inputs(settings.model.base, settings.data.model_copy(update={"streaming": False}))


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with two or three scored responses."""
    made = []
    for number, pair in enumerate(make_pairs(count, seed)):
        texts = [pair.chosen, *(other.text for other in pair.others), pair.rejected]
        rewards = [pair.chosen_reward, *(other.reward for other in pair.others), pair.rejected_reward]
        made.append({"prompt": f"say {pair.chosen} {number % 97}", "responses": texts, "rewards": rewards})
    return made


BROKEN: Sequence[Mapping[str, Any]] = (
    {"prompt": "say fox", "chosen": "fox"},
    {"prompt": "fox " * 100, "chosen": "fox", "rejected": "dog"},
    {"prompt": "say dog", "response_1": "a", "response_2": "b", "preference_strength": 0},
    {"prompt": "say dog", "chosen": "dog", "rejected": "dog"},
)


def test_a_streamed_set_has_the_pairs_of_the_set_in_memory(tiny_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_lines(data / "a.jsonl", [*rows(40), *BROKEN, *rows(40, 1)])
    write_gzip(data / "b.jsonl.gz", rows(30, 2))
    write_parquet(data / "c.parquet", rows(30, 3))
    (data / "d.jsonl").write_text("no JSON\n")
    write_lines(data / "e.jsonl", [{"prompt": "say fox", "chosen": "fox", "rejected": "dog"}])
    mixture = [{"source": str(data), "weight": 1.5, "limit": 125}, {"source": str(data / "a.jsonl"), "weight": 2}]
    settings = settings_of(tiny_model, tmp_path, mixture=mixture, bad_rows="quarantine", validation_pairs=8)
    found, expected = streamed(settings, tmp_path), in_memory(settings)
    assert list(found.pairs) == list(expected.pairs)
    assert list(found.validation) == list(expected.validation)
    assert len(found.validation) == 8 and len(found.pairs) > 300
    assert found.identical == expected.identical > 0
    assert list(found.kinds) == list(expected.kinds)
    assert list(found.unused) == list(expected.unused)
    assert len(list(found.unused)) == 5


def test_rows_that_are_broken_in_every_way_are_set_aside_as_in_memory_and_those_around_them_are_trained_on(
    tiny_model: Path, tmp_path: Path
) -> None:
    endless = json.dumps({"prompt": "a" * (17 << 20), "chosen": "b", "rejected": "c"}).encode() + b"\n"
    # Rows that make pairs together are refused, broken or not.
    broken = [*(line for name, line in BROKEN_ROWS.items() if name != "a label that is neither"), endless]
    good = [json.dumps({"prompt": f"say {n}", "chosen": "fox", "rejected": "dog"}).encode() + b"\n" for n in range(len(broken))]
    lines = [line for pair in zip(good, broken, strict=True) for line in pair]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    settings = settings_of(tiny_model, tmp_path, train=str(tmp_path / "a.jsonl"), bad_rows="quarantine")
    found, expected = streamed(settings, tmp_path), in_memory(settings)
    assert list(found.pairs) == list(expected.pairs)
    assert len(found.pairs) + len(found.validation) == len(good)
    assert list(found.unused) == list(expected.unused) and len(list(found.unused)) == len(good)


@pytest.mark.parametrize("method", ["dpo", "rpo_bwd", "kto", "mrpo"])
def test_training_on_a_streamed_set_gives_the_same_losses_and_weights_to_the_last_digit(
    method: str, tiny_model: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "a.jsonl", rows(80))
    settings = settings_of(tiny_model, tmp_path, train=str(tmp_path / "a.jsonl"))
    runs = []
    for name, inputs in (("streamed", streamed(settings, tmp_path)), ("memory", in_memory(settings))):
        run = tiny_run(METHODS[method](), tiny_model, inputs.tokenizer, inputs.pairs, tmp_path / name, references=[tiny_model])
        runs.append(replace(run, validation=inputs.validation))
        train_locally(runs[-1])
    told = [[(step["loss"], step.get("validation_margin")) for step in metrics(run)] for run in runs]
    assert told[0] == told[1]
    assert len(set(told[0])) > 1 and told[0][-1][1] is not None
    first, second = (weights(run, 12) for run in runs)
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize("number", [0, 1])
def test_a_bad_row_is_refused_with_its_place_and_the_cure_as_in_memory(number: int, tiny_model: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [*rows(20), BROKEN[number]])
    settings = settings_of(tiny_model, tmp_path, train=str(tmp_path / "a.jsonl"))
    with pytest.raises(DataFormatError) as here:
        in_memory(settings)
    with pytest.raises(DataFormatError) as there:
        streamed(settings, tmp_path)
    assert str(there.value) == str(here.value)
    assert "a.jsonl:21" in there.value.where


def test_a_bad_row_behind_the_limit_is_not_refused(tiny_model: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [*rows(40), BROKEN[0]])
    settings = settings_of(tiny_model, tmp_path, train=str(tmp_path / "a.jsonl"), limit=40)
    assert list(streamed(settings, tmp_path).pairs) == list(in_memory(settings).pairs)


def test_rows_that_make_pairs_together_are_refused_with_the_cure(tiny_model: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"prompt": "say fox", "completion": "fox", "label": True}] * 2)
    with pytest.raises(DataFormatError, match="paired by prompt make pairs together") as refusal:
        streamed(settings_of(tiny_model, tmp_path, train=str(tmp_path / "a.jsonl"), bad_rows="quarantine"), tmp_path)
    assert refusal.value.code == "DAA-0213"
    assert "leave out `data.streaming`" in refusal.value.cure


@pytest.mark.parametrize("bad_rows", ["refuse", "quarantine"])
def test_a_damaged_file_and_a_file_without_pairs_are_refused_as_in_memory(bad_rows: str, tiny_model: Path, tmp_path: Path) -> None:
    write_gzip(tmp_path / "cut.jsonl.gz", rows(2000))
    (tmp_path / "cut.jsonl.gz").write_bytes((tmp_path / "cut.jsonl.gz").read_bytes()[:-500])
    write_lines(tmp_path / "ties.jsonl", [BROKEN[2]])
    for name in ("cut.jsonl.gz", "ties.jsonl"):
        settings = settings_of(tiny_model, tmp_path, train=str(tmp_path / name), bad_rows=bad_rows)
        with pytest.raises(DataFormatError) as here:
            in_memory(settings)
        with pytest.raises(DataFormatError) as there:
            streamed(settings, tmp_path)
        assert str(there.value) == str(here.value)


def test_a_set_is_made_once_and_rows_that_are_known_are_not_tokenised_again(tiny_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_lines(data / "a.jsonl", rows(40))
    settings = settings_of(tiny_model, tmp_path, train=str(data))
    said: list[str] = []
    streamed(settings, tmp_path, said)
    assert said == [f"{data}: 40 pairs in 1 shards"]
    streamed(settings, tmp_path, said)
    assert len(said) == 1
    (lost,) = (tmp_path / "cache" / "tokens" / "shards").rglob("*.arrow")
    lost.unlink()
    streamed(settings, tmp_path, said)
    assert said.pop() == said[0] and lost.is_file()
    write_lines(data / "b.jsonl", rows(30, 1))
    found = streamed(settings, tmp_path, said)
    assert said[1:] == [f"{data}: 70 pairs in 2 shards, 1 of them from before"]
    assert list(found.pairs) == list(in_memory(settings).pairs)


@pytest.mark.faults
def test_after_a_kill_whole_shards_are_kept_and_nothing_half_written_is_read(tiny_model: Path, tmp_path: Path) -> None:
    data, shards = tmp_path / "data", tmp_path / "cache" / "tokens" / "shards"
    data.mkdir()
    for number in range(16):
        write_lines(data / f"{number:02d}.jsonl", rows(300, number))
    settings = settings_of(tiny_model, tmp_path, train=str(data))
    (tmp_path / "settings.json").write_text(json.dumps(settings.json_ready()))
    driver = subprocess.Popen([sys.executable, "-m", "tests.cluster.stream_alone", str(tmp_path)], start_new_session=True)
    until = time.monotonic() + 120
    while len(list(shards.rglob("*.arrow"))) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    kept = len(list(shards.rglob("*.arrow")))
    assert 3 <= kept < 16
    assert not (tmp_path / POINTER).exists()
    known = next(shards.rglob("*.arrow"))
    known.with_name(f".{known.name}.0.partial").write_bytes(known.read_bytes()[:100])
    said: list[str] = []
    found = streamed(settings, tmp_path, said)
    before = int(said[0].split("shards, ")[1].split()[0])
    assert kept <= before < 16
    assert list(found.pairs) == list(in_memory(settings).pairs)

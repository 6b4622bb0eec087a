"""Nodes that join a running search are used, and one that leaves costs its trial no more than the way from its last checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from tests.cluster.small_search import RunningCommand, read_events, wait_until, write_small_search

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(1200)]
# Room for engine, control and one gang of one worker.
HEAD = {"num_cpus": 2, "include_dashboard": False}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head node on this machine; more can join."""
    made = Cluster(initialize_head=True, head_node_args=HEAD)
    monkeypatch.setenv("RAY_ADDRESS", str(made.address))
    yield made
    made.shutdown()


def named(directory: Path, name: str) -> Sequence[Mapping[str, Any]]:
    return [event for event in read_events(directory) if event["event"] == name]


def test_a_node_that_joins_trains_and_when_it_leaves_its_trial_goes_on_elsewhere(
    cluster: Cluster, tiny_model: Path, tmp_path: Path
) -> None:
    settings = write_small_search(tmp_path, tiny_model, trials=4, steps=160, methods=("dpo",))
    text = settings.read_text().replace("workers = 1\n", "gangs = 2\nleast_gangs = 1\n")
    settings.write_text(
        text.partition("[finals]")[0].replace(f'held_out = "{tmp_path}/prompts.jsonl"\n', "") + "[cluster]" + text.partition("[cluster]")[2]
    )
    directory = tmp_path / "run"
    search = RunningCommand("search", str(settings), "--dir", str(directory), directory=tmp_path)
    wait_until(lambda: bool(named(directory, "attempt")), 300, "a trial on the head node")
    first = named(directory, "attempt")[0]["gang"]

    node = cluster.add_node(num_cpus=1)
    wait_until(lambda: any(event["gang"] != first for event in named(directory, "attempt")), 300, "a trial on the node that joined")
    moved = next(event["trial"] for event in named(directory, "attempt") if event["gang"] != first)
    wait_until(lambda: any(event["trial"] == moved for event in named(directory, "checkpoint")), 300, "a checkpoint there")
    cluster.remove_node(node, allow_graceful=False)

    assert "winner:" in search.wait(600)
    again = next(event for event in named(directory, "attempt") if event["trial"] == moved and event["attempt"] == 2)
    assert again["gang"] == first
    steps = [event["step"] for event in named(directory, "checkpoint") if event["trial"] == moved]
    assert steps == sorted(set(steps)), "it was trained again from the start"
    assert {event["status"] for event in named(directory, "end")} == {"completed"}

"""What the doctor concludes from what nodes measured, without a cluster."""

from pathlib import Path

import pytest

from orchestrator.cluster.checks import all_reduce
from orchestrator.cluster.checks.all_reduce import MIB, Ring, Timing, ring_of, slowest
from orchestrator.cluster.checks.doctor import overlooked, processors_precision, uncounted_gpus
from orchestrator.cluster.checks.node_checks import Node
from orchestrator.cluster.checks.shared_paths import judged
from orchestrator.doctor.apart import Answer
from orchestrator.doctor.findings import Status
from orchestrator.doctor.notes import Note
from orchestrator.doctor.subject import Subject
from tests.doctor.machines import SOUND


def nodes(*gpus: int) -> list[Node]:
    return [Node(f"id-{number}", f"node-{number}", count, {"GPU": float(count)}) for number, count in enumerate(gpus)]


@pytest.mark.parametrize(
    ("gpus", "free", "backend", "ranks", "words"),
    [
        ((8, 8), (8, 8), "nccl", 2, "between 2 nodes"),
        ((8, 8), (8, 0), "gloo", 2, "in use"),
        ((0, 8), (0, 8), "gloo", 2, "between 2 nodes"),
        ((0, 8, 4), (0, 8, 4), "nccl", 2, "between 2 nodes"),
        ((0, 0, 0), (0, 0, 0), "gloo", 3, "between 3 nodes"),
        ((2,), (2,), "nccl", 2, "the one node"),
        ((1,), (1,), "gloo", 2, "the one node"),
        ((0,), (0,), "gloo", 2, "the one node"),
    ],
)
def test_each_node_that_trains_has_a_rank_and_nccl_is_taken_where_each_rank_has_a_free_gpu(
    gpus: tuple[int, ...], free: tuple[int, ...], backend: str, ranks: int, words: str
) -> None:
    ring = ring_of(nodes(*gpus), {f"id-{number}": float(count) for number, count in enumerate(free)})
    assert (ring.backend, len(ring.places)) == (backend, ranks)
    assert words in ring.told


def test_processors_train_only_where_no_node_has_a_gpu() -> None:
    subject = Subject(precision="bf16")
    assert [processors_precision(subject, nodes(*gpus)) for gpus in ((0, 0), (0, 8))] == ["bf16", ""]


def test_an_all_reduce_takes_as_long_as_its_slowest_rank() -> None:
    assert slowest([[Timing(8, [1.0, 4.0])], [Timing(8, [3.0, 2.0])]]) == [Timing(8, [3.0, 4.0])]


@pytest.mark.parametrize(("seconds", "status"), [(0.01, Status.OK), (10.0, Status.WARN)])
def test_the_bandwidth_comes_with_its_range_its_size_and_its_definition(seconds: float, status: Status) -> None:
    timings = [Timing(MIB, [seconds]), Timing(64 * MIB, [seconds, 2 * seconds, 4 * seconds])]
    found = all_reduce.judged(Ring("gloo", nodes(0, 0), "between 2 nodes"), timings)
    middle = 64 * MIB / (2 * seconds) / 1e9
    assert found.status is status
    assert f"algorithm bandwidth {middle:.2f} GB/s ({middle / 2:.2f}–{2 * middle:.2f} in 3 runs) at 64 MiB" in found.found
    assert bool(found.fix) is (status is Status.WARN)


def test_a_directory_that_each_node_has_for_itself_is_not_shared() -> None:
    one, two = nodes(0, 0)
    notes = {one: Note("/scratch", "a", "by one"), two: Note("/scratch", "b", "by two")}
    alone = judged("the run", notes, {one: Answer([True, False]), two: Answer([False, True])})
    assert alone.status is Status.FAIL
    assert "node-0 does not see what node-1 writes; node-1 does not see what node-0 writes" in alone.found
    assert "mount one file system" in alone.fix
    assert judged("the run", notes, {one: Answer([True, True]), two: Answer([True, True])}).status is Status.OK


def test_a_cluster_on_this_machine_that_runs_would_not_join_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert overlooked() == []
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.1:6379")
    (found,) = overlooked()
    assert found.status is Status.WARN
    assert "10.0.0.1:6379" in found.found and "RAY_ADDRESS" in found.fix


def test_gpus_that_ray_does_not_give_away_are_a_warning() -> None:
    (found,) = uncounted_gpus(nodes(2)[0], SOUND)
    assert found.status is Status.WARN
    assert "the driver shows 8 and Ray has 2" in found.found
    assert uncounted_gpus(nodes(8)[0], SOUND) == []

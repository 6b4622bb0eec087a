"""What does not fit into a cluster is refused with the resource that is short, and where."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.cluster import placement
from orchestrator.cluster.engines import generating
from orchestrator.cluster.placement import (
    HEAD_MARK,
    bundles,
    check_gpus,
    held_gpus,
    needed,
    of_answers,
    require,
    started_for_rounds,
    unplaced,
    waiting_places,
)
from orchestrator.errors import ClusterError, SettingsError
from orchestrator.settings import ClusterSettings, EvaluationSettings, Settings, VerifierSettings, VllmJudgeSettings
from orchestrator.worlds.recipes import TasksRecipe

TWO_NODES = {"10.0.0.1": {"CPU": 16.0, "GPU": 4.0}, "10.0.0.2": {"CPU": 16.0, "GPU": 4.0}}


def test_gpus_that_the_cluster_does_not_have_are_named_with_the_cure() -> None:
    with pytest.raises(ClusterError, match="the run needs 4 GPUs and the cluster has 0") as refused:
        require(ClusterSettings(workers=4, gpus_per_worker=1), {"one": {"CPU": 8.0}})
    assert refused.value.code == "DAA-0601"
    assert "add nodes" in refused.value.cure


def test_what_fits_exactly_is_accepted() -> None:
    require(ClusterSettings(workers=2, cpus_per_worker=0.5), {"one": {"CPU": 2.0}})
    require(ClusterSettings(workers=6, gpus_per_worker=1, gpus_per_engine=2), TWO_NODES)


def test_what_only_answers_needs_no_room_for_workers() -> None:
    searching = ClusterSettings(workers=16, gangs=2, cpus_per_worker=8, gpus_per_worker=1, engines=2, gpus_per_engine=1)
    require(of_answers(searching), {"one": {"CPU": 2.0, "GPU": 2.0}})
    with pytest.raises(ClusterError, match="the run needs 2 GPUs and the cluster has 1"):
        require(of_answers(searching), {"one": {"CPU": 8.0, "GPU": 1.0}})
    shared = ClusterSettings(turns=True, gpus_per_worker=0.6, gpus_per_engine=0.4)
    assert not of_answers(shared).turns and of_answers(shared).gpus_per_engine == 0.4


def test_an_engine_that_no_single_node_has_room_for_is_refused_though_the_cluster_has_enough() -> None:
    with pytest.raises(ClusterError, match="1 of 7 workers and engines find no place for") as refused:
        require(ClusterSettings(workers=3, gangs=2, gpus_per_worker=1, gpus_per_engine=2, cpus_per_worker=0.1), _nodes(*[1.0] * 8))
    assert refused.value.code == "DAA-0601"
    assert "lacks" in refused.value.what


def test_what_follows_trials_and_waits_on_purpose_is_not_told_as_waiting_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    follower, worker = ({"state": "PENDING", "bundles": {0: bundle}} for bundle in ({HEAD_MARK: 0.4}, {"GPU": 1.0}))
    monkeypatch.setattr("ray.nodes", list)
    monkeypatch.setattr("ray._private.state.available_resources_per_node", dict)
    monkeypatch.setattr(placement, "placement_group_table", lambda: {"a": follower})
    assert waiting_places() is None
    monkeypatch.setattr(placement, "placement_group_table", lambda: {"a": follower, "b": worker})
    assert "1 of 1 workers" in str(waiting_places())


def _nodes(*gpus: float) -> dict[str, dict[str, float]]:
    return {f"10.0.0.{number}": {"CPU": 8.0, "GPU": count} for number, count in enumerate(gpus)}


def test_the_node_and_what_it_lacks_are_named() -> None:
    told = unplaced([{"CPU": 1.0, "GPU": 2.0}], {"10.0.0.1": {"CPU": 4.0, "GPU": 0.5}, "10.0.0.2": {"CPU": 0.0, "GPU": 8.0}})
    assert told == "1 of 1 workers and engines find no place for 1 CPU and 2 GPU: 10.0.0.1 lacks 2 GPU; 10.0.0.2 lacks 1 CPU"


def test_the_largest_are_placed_first_where_least_is_left() -> None:
    assert unplaced([{"GPU": 1.0}, {"GPU": 1.0}, {"GPU": 4.0}, {"GPU": 2.0}], TWO_NODES) is None
    assert unplaced([{"GPU": 3.0}] * 3, TWO_NODES) is not None
    assert unplaced([], {}) is None


def test_a_run_begins_when_its_first_gangs_have_room_and_counts_the_gpus_of_all() -> None:
    joining = ClusterSettings(workers=2, gangs=4, least_gangs=1, gpus_per_worker=1, gpus_per_engine=1)
    require(joining, {"one": {"CPU": 8.0, "GPU": 3.0}})
    with pytest.raises(ClusterError):
        require(joining.model_copy(update={"least_gangs": 2}), {"one": {"CPU": 8.0, "GPU": 3.0}})
    assert needed(joining, joining.gangs)["GPU"] == 9


def test_gpus_that_a_group_and_engines_use_in_turns_are_held_whole_and_once() -> None:
    parts = ClusterSettings(workers=4, turns=True, gpus_per_worker=0.6, gpus_per_engine=0.4)
    search = Settings(world=TasksRecipe(kind="tasks"), judge=VerifierSettings(kind="verifier"), cluster=parts)
    assert held_gpus(search) == 4
    require(parts, {"one": {"CPU": 8.0, "GPU": 4.0}})


@pytest.mark.parametrize(
    ("cluster", "cure"),
    [
        ({"turns": True, "gangs": 2}, "gangs = 1"),
        ({"turns": True, "gpus_per_worker": 1, "gpus_per_engine": 1}, "0.6 and 0.4"),
        ({"turns": True, "workers": 2, "gpus_per_worker": 0.5}, "above 0.5"),
    ],
)
def test_shares_of_gpus_that_cannot_be_are_refused_with_the_cure(cluster: dict[str, Any], cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        ClusterSettings(**cluster)


@pytest.mark.parametrize(
    ("cluster", "cure"),
    [
        ({"gpus_per_worker": 0.6, "gpus_per_engine": 0.4}, "turns = true"),
        ({"turns": True, "workers": 8, "engines": 8, "gpus_per_worker": 0.6, "gpus_per_engine": 0.4}, "set engines = 1"),
    ],
)
def test_who_would_use_one_gpu_at_the_same_time_is_kept_apart(cluster: dict[str, Any], cure: str) -> None:
    with pytest.raises(SettingsError) as refused:
        ClusterSettings(**cluster)
    assert cure in refused.value.cure


def test_engines_whose_memory_does_not_fit_onto_the_gpu_that_they_would_share_are_refused() -> None:
    def with_engines(memory: float, **cluster: Any) -> Settings:
        evaluation = EvaluationSettings(gpu_memory_utilization=memory)
        judge = VerifierSettings(kind="verifier")
        return Settings(world=TasksRecipe(kind="tasks"), judge=judge, evaluation=evaluation, cluster=ClusterSettings(**cluster))

    with pytest.raises(SettingsError, match="3 engines would share a GPU") as refused:
        with_engines(0.4, engines=4, gpus_per_engine=0.3)
    assert "gpu_memory_utilization to 0.3 at most" in refused.value.cure
    with_engines(0.3, engines=4, gpus_per_engine=0.3)
    with_engines(0.6, engines=1, gpus_per_engine=0.3)
    with_engines(0.6, engines=4, gpus_per_engine=1)
    with_engines(0.6, engines=4, gpus_per_engine=2)


def test_parts_of_a_gpu_share_one_and_what_is_left_of_several_does_not_add_up() -> None:
    parts = ClusterSettings(turns=True, gpus_per_worker=0.6, gpus_per_engine=0.4)
    assert [each["GPU"] for each in bundles(parts)] == [0.6, 0.4]
    require(parts, {"one": {"CPU": 4.0, "GPU": 1.0}})
    three = ClusterSettings(turns=True, workers=3, gpus_per_worker=0.6, gpus_per_engine=0.2)
    with pytest.raises(ClusterError, match=r"1 of 4 .* find no place for 1 CPU and 0\.6 GPU: one lacks 0\.2 GPU"):
        require(three, {"one": {"CPU": 8.0, "GPU": 2.0}})
    assert unplaced([{"GPU": 0.6}] * 8, {"one": {"GPU": 8 - 8 * 0.4}}) is not None
    assert unplaced([{"GPU": 0.6}] * 8 + [{"GPU": 0.4}] * 8, {"one": {"GPU": 8.0}}) is None
    assert unplaced([{"GPU": 0.1}] * 10, {"one": {"GPU": 1.0}}) is None


@pytest.mark.parametrize(
    ("cluster", "for_cuda", "told"),
    [
        ({}, True, "engines have none"),
        ({}, False, "workers train on processors"),
        ({"gpus_per_engine": 1}, True, "workers train on processors"),
        ({"gpus_per_worker": 1, "gpus_per_engine": 1}, True, ""),
    ],
)
def test_a_clusters_gpus_that_settings_ask_nothing_of_are_told_or_refused_where_engines_cannot_be_without(
    cluster: dict[str, Any], for_cuda: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    settings = ClusterSettings(**cluster)
    monkeypatch.setattr(placement, "vllm_wants_gpus", lambda: for_cuda)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"GPU": 8.0})
    try:
        check_gpus(settings, said.append)
    except SettingsError as refused:
        said.append(refused.what)
    assert len(said) == bool(told) and all(told in line and "8 GPUs" in line for line in said)
    check_gpus(settings, said.append, trains=False, answers=False)
    monkeypatch.setattr("ray.cluster_resources", dict)
    check_gpus(settings, said.append)
    assert len(said) == bool(told)


def test_the_finals_judge_holds_its_gpus_from_the_beginning() -> None:
    judge = VllmJudgeSettings(kind="vllm", model="m", gpus=1, tensor_parallel=2)
    cluster = ClusterSettings(workers=2, gangs=3, gpus_per_worker=1, gpus_per_engine=1)
    settings = Settings(world=TasksRecipe(kind="tasks"), judge=VerifierSettings(kind="verifier"), cluster=cluster)
    judged = settings.model_copy(update={"finals": settings.finals.model_copy(update={"judge": judge})})
    assert (held_gpus(settings), held_gpus(judged), held_gpus(judged, gangs=1)) == (7, 9, 5)
    assert held_gpus(started_for_rounds(judged)) == 3


@pytest.mark.parametrize(("gpus", "spread"), [(0, 1), (0.4, 1), (1, 1), (2, 2)])
def test_an_engine_spreads_its_model_over_the_gpus_that_it_holds(gpus: float, spread: int, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[float] = []
    started: list[tuple[Any, ...]] = []

    class Actor:
        @classmethod
        def options(cls, num_gpus: float, **others: Any) -> "Actor":
            held.append(num_gpus)
            return cls()

        def remote(self, *given: Any, **named: Any) -> None:
            started.append(given)

    monkeypatch.setattr(generating, "EngineActor", Actor)
    generating.start_engines(ClusterSettings(engines=2, gpus_per_engine=gpus), EvaluationSettings(), Path("logs"), lora_rank=8)
    assert held == [gpus, gpus]
    assert [given[2:] for given in started] == [(spread, 8), (spread, 8)]

"""What dead drivers and dead controllers of a run held on a cluster is freed, and nothing else; where there is none, that is said."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import RayActorError
from ray.util.placement_group import placement_group, placement_group_table

from orchestrator.cluster.session import free_places_of_dead, joined, keep_to_own_gpus
from orchestrator.cluster.workers.cleaner import Cleaner
from orchestrator.errors import ClusterError
from tests.cluster.small_search import wait_until

# A detached group outlives its job, as does one that is made in the moment in which the job ends.
DRIVER = """
import sys, ray
ray.init(address=sys.argv[1], namespace=sys.argv[2], log_to_driver=False)
ray.util.placement_group([{"CPU": 1}], name=sys.argv[2], lifetime="detached").wait(60)
"""


@pytest.mark.cluster
def test_places_of_dead_drivers_of_the_same_run_are_freed() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "include_dashboard": False})
    try:
        for namespace in ("daa-mine", "daa-another"):
            subprocess.run([sys.executable, "-c", DRIVER, str(cluster.address), namespace], check=True, timeout=120)
        ray.init(address=cluster.address, namespace="daa-mine", log_to_driver=False)
        placement_group([{"CPU": 1}], name="living").wait(60)
        assert _held() == {"daa-mine", "daa-another", "living"}
        free_places_of_dead("daa-mine")
        assert _held() == {"daa-another", "living"}
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.cluster
def test_who_watches_over_a_gang_frees_the_places_that_it_was_not_told_of_and_ends_with_it_without_a_dashboard() -> None:
    @ray.remote(num_cpus=0)
    class Controller:
        """Lives until it is killed, and holds a place."""

        def take_a_place(self) -> None:
            placement_group([{"CPU": 1}], name="gang").wait(60)

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        controller: Any = Controller.remote()
        ray.get(controller.__ray_ready__.remote())
        cleaner: Any = ray.remote(num_cpus=0)(Cleaner).options(lifetime="detached").remote(controller._actor_id.hex(), 0.2, 5.0, 5.0)
        ray.get([controller.take_a_place.remote(), cleaner.__ray_ready__.remote()])
        placement_group([{"CPU": 1}], name="another").wait(60)
        time.sleep(1)
        assert _held() == {"gang", "another"}
        ray.kill(controller)
        wait_until(lambda: _held() == {"another"}, 30, "its places are free")
        wait_until(lambda: _is_dead(cleaner), 30, "who watched over it is gone")
    finally:
        ray.shutdown()


@pytest.mark.cluster
def test_an_actor_without_gpus_sees_none_and_one_with_a_part_of_one_sees_it() -> None:
    @ray.remote(num_cpus=0)
    class Actor:
        def __init__(self) -> None:
            keep_to_own_gpus()

        def seen(self) -> str | None:
            """What CUDA is told."""
            return os.environ.get("CUDA_VISIBLE_DEVICES")

    ray.init(num_cpus=1, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        actors: Any = [Actor.options(num_gpus=gpus).remote() for gpus in (0, 0.4, 1)]
        assert ray.get([actor.seen.remote() for actor in actors]) == ["", "0", "1"]
    finally:
        ray.shutdown()


def _is_dead(actor: Any) -> bool:
    try:
        ray.get(actor.__ray_ready__.remote(), timeout=5)
    except RayActorError:
        return True
    return False


def _held() -> set[str]:
    return {group["name"] for group in placement_group_table().values() if group["state"] != "REMOVED"}


def test_a_cluster_where_nobody_answers_is_refused_at_once() -> None:
    with pytest.raises(ClusterError, match=r"nobody answers at 127\.0\.0\.1:9 ") as refused, joined("127.0.0.1:9", "daa-nobody", 1):
        pass
    assert (refused.value.code, refused.value.where) == ("DAA-0602", "RAY_ADDRESS=127.0.0.1:9")

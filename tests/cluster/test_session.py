"""A run that joins a cluster again frees what its dead drivers held there, and nothing else."""

import subprocess
import sys

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import placement_group, placement_group_table

from orchestrator.cluster.session import free_places_of_dead

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


def _held() -> set[str]:
    return {group["name"] for group in placement_group_table().values() if group["state"] != "REMOVED"}

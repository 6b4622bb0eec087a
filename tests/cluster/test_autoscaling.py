"""A run asks a real autoscaler for nodes that are not there; the nodes that it starts are processes of this machine."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.cluster.job_server import ENVIRONMENT, PROJECT, free_ports, is_listening, started_head
from tests.cluster.small_search import wait_until

# The only one that the nodes which Ray starts for tests join.
PORT = 6379
NODE = {"resources": {"CPU": 3}, "node_config": {}, "min_workers": 0, "max_workers": 1}
HEAD = {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0}
PROVIDER = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True, "disable_launch_config_check": True}
CONFIG = {
    "cluster_name": "fake",
    "max_workers": 1,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 1,
    "provider": PROVIDER,
    "available_node_types": {"ray.head.default": HEAD, "worker": NODE},
    "head_node_type": "ray.head.default",
    **{name: {} for name in ("auth", "docker", "file_mounts")},
    **{name: [] for name in ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")},
    **{name: [] for name in ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files")},
    **{name: [] for name in ("rsync_exclude", "rsync_filter")},
    "file_mounts_sync_continuously": False,
}


# In a process of its own: Ray asks once in a process whether there are tokens.
DRIVER = """
import sys
import time
import ray
from orchestrator.cluster import placement
from orchestrator.cluster.placement import bundles, nodes_of_cluster, require, wait_for
from orchestrator.errors import ClusterError
from orchestrator.settings import ClusterSettings

# The beginning of a node's id tells nodes apart, but not those of this provider.
placement.name_of = lambda node: node["NodeID"]
# A head listens before it knows of its own node.
for seconds_left in range(60, -1, -1):
    try:
        ray.init(address=sys.argv[1], log_to_driver=False)
        break
    except ConnectionError:
        if not seconds_left:
            raise
        time.sleep(1)
cluster = ClusterSettings(workers=2, cpus_per_worker=1)
try:
    wait_for(lambda: require(cluster, nodes_of_cluster()), bundles(cluster), 0)
except ClusterError as error:
    print(error.what)
wait_for(lambda: require(cluster, nodes_of_cluster()), bundles(cluster), 120)
print(len(nodes_of_cluster()), "nodes")
"""


@contextmanager
def autoscaled_head(place: Path) -> Iterator[str]:
    """A head of one CPU whose autoscaler starts one node of three; yields its address."""
    (place / "autoscaling.yaml").write_text(yaml.safe_dump(CONFIG))
    (dashboard,) = free_ports(1)
    options = f"--num-cpus 1 --port {PORT} --dashboard-port {dashboard} --autoscaling-config {place}/autoscaling.yaml"
    with started_head(place, options, {**ENVIRONMENT, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}) as log:
        wait_until(lambda: is_listening(PORT), 120, f"the head listens; {log.name} says why not")
        yield f"127.0.0.1:{PORT}"


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_run_waits_for_the_nodes_that_it_asks_for(tmp_path: Path) -> None:
    if is_listening(PORT):
        pytest.skip(f"another process has port {PORT}")
    with autoscaled_head(tmp_path) as address:
        command = [sys.executable, "-c", DRIVER, address]
        driver = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=250, check=False, cwd=PROJECT)
    assert driver.returncode == 0, driver.stderr
    assert driver.stdout.splitlines() == ["the run needs 3 CPUs and the cluster has 1", "2 nodes"]

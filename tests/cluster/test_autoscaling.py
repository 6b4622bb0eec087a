"""A run asks a real autoscaler for nodes that are not there; the nodes that it starts are processes of this machine."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import ray
import yaml

from orchestrator.cluster import placement
from orchestrator.cluster.placement import bundles, nodes_of_cluster, require, wait_for
from orchestrator.errors import ClusterError
from orchestrator.settings import ClusterSettings
from tests.cluster.job_server import ENVIRONMENT, free_ports, is_listening
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


@contextmanager
def autoscaled_head(place: Path) -> Iterator[str]:
    """A head of one CPU whose autoscaler starts one node of three; yields its address."""
    (place / "autoscaling.yaml").write_text(yaml.safe_dump(CONFIG))
    dashboard, agent = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as own, (place / "head.log").open("w") as log:
        command = f"ray start --head --block --num-cpus 1 --port {PORT} --temp-dir {own} --dashboard-port {dashboard}"
        command += f" --dashboard-agent-listen-port {agent} --autoscaling-config {place}/autoscaling.yaml"
        environment = {**ENVIRONMENT, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        head = subprocess.Popen(command.split(), env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: is_listening(PORT), 120, f"the head listens; {log.name} says why not")
            yield f"127.0.0.1:{PORT}"
        finally:
            for process in [head, *psutil.Process(head.pid).children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            head.wait(30)


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_run_waits_for_the_nodes_that_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    # The beginning of a node's id tells nodes apart, but not those of this provider.
    monkeypatch.setattr(placement, "name_of", lambda node: node["NodeID"])
    if is_listening(PORT):
        pytest.skip(f"another process has port {PORT}")
    cluster = ClusterSettings(workers=2, cpus_per_worker=1)
    with autoscaled_head(tmp_path) as address:
        ray.init(address=address, log_to_driver=False)
        try:
            with pytest.raises(ClusterError, match="needs 3 CPUs and the cluster has 1"):
                wait_for(lambda: require(cluster, nodes_of_cluster()), bundles(cluster), 0)
            wait_for(lambda: require(cluster, nodes_of_cluster()), bundles(cluster), 120)
            assert len(nodes_of_cluster()) == 2
        finally:
            ray.shutdown()

"""Joining a Ray cluster or starting one here, and the names under which a run's actors are found."""

import hashlib
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
from ray import PlacementGroupID
from ray._private import ray_constants
from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]
from ray.exceptions import AuthenticationError
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

from orchestrator.cluster.placement import HEAD_MARK, bundles, needed, nodes_of_cluster, require, wait_for
from orchestrator.errors import ClusterError
from orchestrator.settings import ClusterSettings

HEAD = {HEAD_MARK: 0.001}
_KNOCK_S = 10.0
_TOKEN_CURE = "set RAY_AUTH_MODE alike on both sides: `token`, with the head node's ~/.ray/auth_token here too, or `disabled`"
_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # A process for each gang that would tell its workers of a spot notice: they write checkpoints often enough not to ask.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A trial may end before it has a score.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Ctrl-C ends the search; Tune would end its trials only, and the finals would begin.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
    "RAY_TRAIN_V2_ENABLED": "1",
    # Relative paths in the settings count from where the command was given, and not from a directory of Ray Train's.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def namespace_of(directory: Path) -> str:
    """The Ray namespace of the run that writes to `directory`."""
    return f"daa-{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}"


@contextmanager
def ray_session(cluster: ClusterSettings, directory: Path) -> Iterator[None]:
    """Join the cluster named by RAY_ADDRESS, or start Ray on this machine; leave it when done.

    Raises ClusterError when the cluster is out of reach or lacks what the run needs.
    """
    namespace = namespace_of(directory)
    with joined(usual_address(), namespace, math.ceil(needed(cluster, cluster.gangs)["CPU"])):
        free_places_of_dead(namespace)
        wait_for(lambda: require(cluster, nodes_of_cluster()), bundles(cluster), cluster.wait_s)
        yield


def usual_address() -> str:
    """Where runs go: RAY_ADDRESS, or a Ray of their own on this machine."""
    return os.environ.get("RAY_ADDRESS", "local")


@contextmanager
def joined(address: str, namespace: str, cpus: int, files: Path | None = None) -> Iterator[None]:
    """Join the cluster at an address, or for "local" start Ray here, with so many CPUs at least; leave it when done.

    A local one keeps its files in `files`, by default where Ray does, and listens to this machine alone. Raises ClusterError when the
    cluster is out of reach.
    """
    set_environment()
    local: dict[str, Any] = {"num_cpus": max(os.cpu_count() or 1, cpus), "include_dashboard": False}
    if files is not None:
        local["_temp_dir"] = str(files)
    try:
        _knock(address)
        with _path_inherited(), _within_this_machine() if address == "local" else nullcontext():
            more = local if address == "local" else {}
            ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level=logging.ERROR, **more)
    except AuthenticationError as error:
        raise ClusterError(f"Ray refuses this machine: {error}"[:400], f"RAY_ADDRESS={address}", _TOKEN_CURE) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"Ray cannot be joined: {error}", f"RAY_ADDRESS={address}", "start the head node, or unset RAY_ADDRESS", code="DAA-0602"
        ) from error
    _leave_when_told()
    try:
        yield
    finally:
        ray.shutdown()


def set_environment() -> None:
    """Say in this process how Ray is to behave. Processes on a cluster that was there before do not inherit it from the driver."""
    os.environ.update({key: value for key, value in _ENVIRONMENT.items() if key not in os.environ})


def free_places_of_dead(namespace: str) -> None:
    """Remove the placement groups of a run's dead drivers: Ray keeps those that were made in the moment in which their job ended."""
    jobs = GcsClient(address=ray.get_runtime_context().gcs_address).get_all_job_info()
    dead = {job.hex() for job, told in jobs.items() if told.is_dead and told.config.ray_namespace == namespace}
    for group, told in placement_group_table().items():
        # A group's id ends with that of its job.
        if told["state"] != "REMOVED" and group.endswith(tuple(dead)):
            remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(group)))


@contextmanager
def _path_inherited() -> Iterator[None]:
    """Meanwhile, processes that are started find the modules that this one does. Ray's own way would start each of its workers twice."""
    with _with_variable("PYTHONPATH", os.pathsep.join(path for path in sys.path if path)):
        yield


@contextmanager
def _within_this_machine() -> Iterator[None]:
    """Meanwhile, a Ray that is started listens on the loopback address, as it does by itself on macOS and Windows only."""
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with _with_variable(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0"):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _with_variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _knock(address: str) -> None:
    """Connect to HOST:PORT and leave: Ray itself tries for many minutes. Raises ConnectionError."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "//" not in address:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()
        except OSError as error:
            raise ConnectionError(f"nobody answers at {address} ({error})") from error


def _leave_when_told() -> None:
    """Leave at SIGTERM, which stops a job, as at Ctrl-C: reports are written, and the cluster is left. Ray's own handler just exits."""
    if threading.current_thread() is not threading.main_thread():
        return

    def leave(number: int, frame: Any) -> None:
        # Told again, it goes on leaving.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)


def find_actor(name: str) -> Any:
    """A named actor of this run."""
    return ray.get_actor(name)


def keep_to_own_gpus() -> None:
    """Let this actor see no GPU where it has none, before CUDA is asked for any: Ray leaves those of others visible to it."""
    if not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def stands_in() -> bool:
    """Whether this actor's process stands in for one that died."""
    return bool(ray.get_runtime_context().was_current_actor_reconstructed)

"""Which GPUs a cluster has."""

import logging
import os

import ray

from orchestrator.errors import ClusterError, SettingsError
from orchestrator.estimates.gpus import gpu_named

_MARK = "accelerator_type:"


def seen_gpu() -> str | None:
    """The name of the GPUs of the joined cluster, of those with the least memory where it has several; None where there is none we know."""
    names = [name.removeprefix(_MARK) for node in ray.nodes() if node["Alive"] for name in node["Resources"] if name.startswith(_MARK)]
    return min((name for name in names if _is_known(name)), key=lambda name: gpu_named(name).memory, default=None)


def gpu_of_cluster() -> str | None:
    """The same of the cluster at RAY_ADDRESS; without one, of this machine."""
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        cure = "start the head node, or unset RAY_ADDRESS and name the GPUs with --gpu"
        raise ClusterError(f"Ray cannot be joined: {error}", f"RAY_ADDRESS={address}", cure, code="DAA-0602") from error
    try:
        return seen_gpu()
    finally:
        ray.shutdown()


def _is_known(name: str) -> bool:
    try:
        gpu_named(name)
    except SettingsError:
        return False
    return True

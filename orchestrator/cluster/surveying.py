"""Which GPUs a cluster has."""

import logging
import os
from dataclasses import replace

import ray

from orchestrator.errors import ClusterError
from orchestrator.estimates.memory import GIB
from orchestrator.policy.gpus import Gpu, known_gpu

_MARK = "accelerator_type:"


def seen_gpu() -> Gpu | None:
    """The GPUs of the joined cluster, those with the least memory where it has several kinds; None where there is none we know."""
    names = [name.removeprefix(_MARK) for node in ray.nodes() if node["Alive"] for name in node["Resources"] if name.startswith(_MARK)]
    return min(filter(None, map(known_gpu, names)), key=lambda gpu: gpu.memory, default=None)


def gpu_of_cluster() -> Gpu | None:
    """The same of the cluster at RAY_ADDRESS; without one, the GPU of this machine, with the memory that it has. Raises ClusterError."""
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        return _gpu_of_machine()
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        cure = "start the head node, or unset RAY_ADDRESS and name the GPUs with --gpu"
        raise ClusterError(f"Ray cannot be joined: {error}", f"RAY_ADDRESS={address}", cure, code="DAA-0602") from error
    try:
        return seen_gpu()
    finally:
        ray.shutdown()


def _gpu_of_machine() -> Gpu | None:
    import torch

    if not torch.cuda.is_available():
        return None
    name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory / GIB
    known = known_gpu(name)
    return Gpu(name, memory, None, None) if known is None else replace(known, memory=memory, larger=None)

"""What a run needs of a cluster, compared with what is there."""

from collections.abc import Mapping

import ray

from orchestrator.errors import ClusterError
from orchestrator.settings import ClusterSettings

_ENGINE_CPUS = 0.5
_CONTROL_CPUS = 0.5


def needed(cluster: ClusterSettings) -> dict[str, float]:
    """CPUs and GPUs that training gangs, engines and the search itself hold at the same time."""
    workers = cluster.gangs * cluster.workers
    return {
        "CPU": workers * cluster.cpus_per_worker + cluster.engines * engine_cpus(cluster) + _CONTROL_CPUS,
        "GPU": workers * cluster.gpus_per_worker + cluster.engines * cluster.gpus_per_engine,
    }


def engine_cpus(cluster: ClusterSettings) -> float:
    """CPUs that each evaluation engine holds."""
    return min(_ENGINE_CPUS, cluster.cpus_per_worker)


def require(cluster: ClusterSettings, available: Mapping[str, float]) -> None:
    """Raise ClusterError naming the resource that is short."""
    for resource, amount in needed(cluster).items():
        there = available.get(resource, 0.0)
        if amount > there + 1e-6:
            key = "gpus_per_worker and gpus_per_engine" if resource == "GPU" else "cpus_per_worker"
            raise ClusterError(
                f"the run needs {amount:g} {resource}s and the cluster has {there:g}",
                "[cluster]",
                f"lower workers, gangs, engines or {key}, or add nodes to the cluster",
            )


def require_gpus(amount: float) -> None:
    """Raise ClusterError when the joined cluster has fewer GPUs than engines and judge hold: their actors would wait for ever."""
    there = ray.cluster_resources().get("GPU", 0.0)
    if amount > there + 1e-6:
        what = f"engine and judge need {amount:g} GPUs and the cluster has {there:g}"
        raise ClusterError(what, "the cluster", "lower answering.engine_gpus and judge.gpus (0 runs on CPU), or add nodes")

"""What a run needs of a cluster, compared with what is there."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.util.placement_group import placement_group_table

from orchestrator.cluster.judges import judge_gpus, scorer_gpus
from orchestrator.errors import ClusterError, SettingsError
from orchestrator.settings import ClusterSettings, LadderSettings, Settings

HEAD_MARK = "node:__internal_head__"

Resources = Mapping[str, float]
Nodes = Mapping[str, Resources]

_ENGINE_CPUS = 0.5
_CONTROL_CPUS = 0.5
_LOOK_S = 2.0
_ROUNDING = 1e-6


def needed(cluster: ClusterSettings, gangs: int) -> dict[str, float]:
    """CPUs and GPUs that so many training gangs, the engines and the search itself hold at the same time."""
    workers = gangs * cluster.workers
    return {
        "CPU": workers * cluster.cpus_per_worker + cluster.engines * engine_cpus(cluster) + _CONTROL_CPUS,
        "GPU": workers * cluster.gpus_per_worker + cluster.engines * cluster.gpus_per_engine,
    }


def held_gpus(settings: Settings, gangs: int | None = None, default: float | None = None) -> float:
    """GPUs that a search holds for as long as it runs, when so many of its gangs have joined; by default all.

    A model that does not say how many it takes has `default`; without one the joined cluster is asked.
    """
    cluster = settings.cluster
    # Parts of a GPU that take turns leave no other part of use.
    shared = max(cluster.workers, cluster.engines) if cluster.turns and cluster.gpus_per_worker else None
    own = needed(cluster, cluster.gangs if gangs is None else gangs)["GPU"] if shared is None else shared
    return own + sum(model["GPU"] for model in _models(settings, default))


def started_for_rounds(settings: Settings) -> Settings:
    """The settings of what `daa rounds` starts: one worker group, and of the judges the one that is asked in every round."""
    cluster = settings.cluster.model_copy(update={"gangs": 1})
    finals = settings.finals.model_copy(update={"judge": None})
    return settings.model_copy(update={"cluster": cluster, "finals": finals, "ladder": LadderSettings()})


def of_answers(cluster: ClusterSettings) -> ClusterSettings:
    """The same for a run that answers and does not train: of the workers is left what counts engines' processors."""
    nobody = {"workers": 1, "gangs": 1, "least_gangs": None, "gpus_per_worker": 0.0, "turns": False}
    return cluster.model_copy(update={**nobody, "cpus_per_worker": min(_ENGINE_CPUS, cluster.cpus_per_worker)})


def _models(settings: Settings, default: float | None = None) -> Sequence[Resources]:
    """What each judge, those of the ladder and of the finals included, and each actor of a scorer needs on one node."""
    judges = [settings.judge, *settings.ladder.models.values(), *([settings.finals.judge] if settings.finals.judge else [])]
    scorers = list(settings.rounds.scorers) * settings.rounds.scorer_actors if settings.rounds else []
    return [{"GPU": judge_gpus(judge, default)} for judge in judges] + [{"GPU": scorer_gpus(scorer, default)} for scorer in scorers]


def engine_cpus(cluster: ClusterSettings) -> float:
    """CPUs that each evaluation engine holds."""
    return min(_ENGINE_CPUS, cluster.cpus_per_worker)


def require(settings: ClusterSettings, nodes: Nodes) -> None:
    """Raise ClusterError naming the resource that is short, in the whole cluster or on its nodes: a worker or engine has one node."""
    available = {resource: sum(node.get(resource, 0.0) for node in nodes.values()) for resource in ("CPU", "GPU")}
    for resource, amount in needed(settings, settings.first_gangs).items():
        there = available[resource]
        if amount > there + _ROUNDING:
            key = "gpus_per_worker and gpus_per_engine" if resource == "GPU" else "cpus_per_worker"
            raise ClusterError(
                f"the run needs {amount:g} {resource}s and the cluster has {there:g}",
                "[cluster]",
                f"lower workers, gangs, engines or {key}, or add nodes; where nodes start when they are asked for, set wait_s",
                code="DAA-0601",
            )
    if (short := unplaced(bundles(settings), nodes)) is not None:
        raise ClusterError(short, "[cluster]", "ask for less per worker or engine, or add nodes that have room for them", code="DAA-0601")


def check_gpus(cluster: ClusterSettings, say: Callable[[str], None], trains: bool = True, answers: bool = True) -> None:
    """Tell of the joined cluster's GPUs where workers have none. Raises SettingsError for engines that need some and have none."""
    there = ray.cluster_resources().get("GPU", 0.0)
    if answers and there and not cluster.gpus_per_engine and vllm_wants_gpus():
        what = f"the cluster has {there:g} GPUs and engines have none, and vLLM as it is installed answers on GPUs only"
        cure = "set gpus_per_worker = 1 and gpus_per_engine = 1, or with turns gpus_per_worker = 0.6 and gpus_per_engine = 0.4"
        raise SettingsError(what, "cluster.gpus_per_engine", cure)
    if trains and there and not cluster.gpus_per_worker:
        say(
            f"[yellow]the cluster has {there:g} GPUs, and workers train on processors[/yellow]: cluster.gpus_per_worker = 1 gives them some"
        )


def vllm_wants_gpus() -> bool:
    """Whether the libraries are those for CUDA."""
    import torch

    return torch.version.cuda is not None


def wait_for(check: Callable[[], None], wanted: Sequence[Resources], wait_s: float) -> None:
    """Return as soon as `check` passes. Meanwhile an autoscaler, where there is one, is asked for what is wanted.

    Raises what `check` raises when the time is over.
    """
    end = time.monotonic() + wait_s
    has_asked = False
    try:
        while True:
            try:
                return check()
            except ClusterError:
                if time.monotonic() >= end:
                    raise
            if not has_asked:
                parts = [{name: amount for name, amount in bundle.items() if amount} for bundle in wanted]
                request_resources(bundles=[each for each in parts if each])
                has_asked = True
            time.sleep(_LOOK_S)
    finally:
        if has_asked:
            # What is placed now keeps the nodes; the others may go.
            request_resources(bundles=[])


def wait_for_gpus(settings: Settings, gangs: int) -> None:
    """Wait for the GPUs of so many gangs, the engines, judges and scorers. Raises ClusterError where they do not come: see wait_for."""
    amount, cure = held_gpus(settings, gangs), "lower workers, engines, scorer_actors or the models' gpus"
    enough = partial(require_gpus, amount, "workers, engines, judges and scorers", cure)
    wait_for(enough, [*bundles(settings.cluster), *_models(settings)], settings.cluster.wait_s)


def bundles(cluster: ClusterSettings) -> Sequence[Resources]:
    """What each worker and each engine that a run begins with needs on one node."""
    worker = {"CPU": cluster.cpus_per_worker, "GPU": cluster.gpus_per_worker}
    engine = {"CPU": engine_cpus(cluster), "GPU": cluster.gpus_per_engine}
    return [worker] * (cluster.first_gangs * cluster.workers) + [engine] * cluster.engines


def unplaced(wanted: Sequence[Resources], free: Nodes) -> str | None:
    """Which of the bundles find no node, and what is short where, in words; None when all have room.

    The largest are placed first, each on the node on which least is left. A part of a GPU is one GPU's: what is left of others does not
    add up.
    """
    left = [_Left.of(node, resources) for node, resources in free.items()]
    without: list[Resources] = []
    for bundle in sorted(wanted, key=lambda each: (-each.get("GPU", 0.0), -each.get("CPU", 0.0))):
        roomy = [node for node in left if not node.short(bundle)]
        if roomy:
            min(roomy, key=lambda node: (sum(node.gpus), node.others.get("CPU", 0.0))).take(bundle)
        else:
            without.append(bundle)
    if not without:
        return None
    lacking = "; ".join(f"{node.name} lacks {', '.join(node.short(without[0]))}" for node in left)
    return f"{len(without)} of {len(wanted)} workers and engines find no place for {_listed(without[0])}: {lacking or 'there is no node'}"


@dataclass(frozen=True)
class _Left:
    """What is left on a node; `gpus` is how much of each GPU that is not taken whole."""

    name: str
    gpus: list[float]
    others: dict[str, float]

    @staticmethod
    def of(name: str, free: Resources) -> "_Left":
        """Ray tells a node's GPUs as one sum: it is read as whole ones and a part."""
        whole, part = divmod(round(free.get("GPU", 0.0), 4), 1)
        return _Left(name, [1.0] * int(whole) + [part], {resource: amount for resource, amount in free.items() if resource != "GPU"})

    def short(self, bundle: Resources) -> list[str]:
        """The resources of which there is less than a bundle needs."""
        lacking = {resource: amount - self._most(resource, amount) for resource, amount in bundle.items()}
        return [f"{amount:g} {resource}" for resource, amount in lacking.items() if amount > _ROUNDING]

    def take(self, bundle: Resources) -> None:
        """Give a bundle its place, as Ray does: whole GPUs, or a part of the one of which least is left."""
        for resource, amount in bundle.items():
            if resource != "GPU":
                self.others[resource] = self.others.get(resource, 0.0) - amount
            elif amount > 1:
                del self.gpus[: int(amount)]
            elif amount:
                number = min((number for number, part in enumerate(self.gpus) if part > amount - _ROUNDING), key=self.gpus.__getitem__)
                self.gpus[number] -= amount

    def _most(self, resource: str, amount: float) -> float:
        if resource != "GPU":
            return self.others.get(resource, 0.0)
        return max(self.gpus) if amount <= 1 else float(sum(part > 1 - _ROUNDING for part in self.gpus))


def waiting_places() -> str | None:
    """Which worker group waits for a place in the cluster, and what is short where, in words; None when none waits."""
    from ray._private.state import available_resources_per_node

    pending = [group for group in placement_group_table().values() if group["state"] == "PENDING" and not _is_limited(group)]
    names: dict[str | None, str] = {node["NodeID"]: name_of(node) for node in ray.nodes()}
    free = {names.get(node, str(node)): resources for node, resources in available_resources_per_node().items()}
    return unplaced([bundle for group in pending for bundle in group["bundles"].values()], free) if pending else None


def _is_limited(group: Mapping[str, Any]) -> bool:
    """True for what asks for the head node's mark, by which the processes that follow trials are kept few: it waits on purpose."""
    return any(HEAD_MARK in bundle for bundle in group["bundles"].values())


def nodes_of_cluster() -> Nodes:
    """The living nodes' resources, by name."""
    return {name_of(node): node["Resources"] for node in ray.nodes() if node["Alive"]}


def name_of(node: Mapping[str, Any]) -> str:
    """A node's address, and what tells it from others at the same one."""
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _listed(bundle: Resources) -> str:
    return " and ".join(f"{amount:g} {resource}" for resource, amount in bundle.items() if amount)


def require_gpus(amount: float, who: str, cure: str) -> None:
    """Raise ClusterError when the joined cluster has fewer GPUs than actors hold, which would wait for ever."""
    there = ray.cluster_resources().get("GPU", 0.0)
    if amount > there + _ROUNDING:
        raise ClusterError(
            f"{who} need {amount:g} GPUs and the cluster has {there:g}", "the cluster", f"{cure}, or add nodes", code="DAA-0601"
        )

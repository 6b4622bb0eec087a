"""`daa doctor --cluster`: the checks of every node, and of what only several of them, or Ray, can show."""

import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import ray
from ray._private.utils import read_ray_address
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.cluster.checks.all_reduce import check_all_reduce, ring_of
from orchestrator.cluster.checks.node_checks import STARTING_S, Node, answer_of, answers, at, everywhere, living_nodes, started
from orchestrator.cluster.checks.shared_paths import check_shared
from orchestrator.cluster.engines.judge_check import check_judge
from orchestrator.cluster.judges import gpus_or_default, judge_gpus
from orchestrator.cluster.placement import engine_cpus, needed, nodes_of_cluster, require
from orchestrator.cluster.session import joined, usual_address
from orchestrator.doctor.apart import Check
from orchestrator.doctor.facts import RAY_TOKEN, Facts, has_ray_token
from orchestrator.doctor.findings import Finding, fail, merged, of_error, ok, warn
from orchestrator.doctor.steps import (
    Asked,
    Step,
    engine_check,
    facts_check,
    gpus_check,
    hub_check,
    input_checks,
    judge_checks,
    libraries_check,
    of_facts,
)
from orchestrator.doctor.subject import Subject
from orchestrator.doctor.versions import check_same
from orchestrator.errors import ClusterError
from orchestrator.settings import ClusterSettings

_PLACED_S = 30.0
_BUSY_FIX = "run daa doctor when the cluster is idle"


def cluster_steps(asked: Asked, address: str) -> Iterator[Step]:
    """All checks of the cluster at an address, "" for the one that a search would use; the cluster is left when they are done."""
    nodes: list[Node] = []
    with ExitStack() as stack:

        def join() -> list[Finding]:
            where = address or usual_address()
            try:
                stack.enter_context(visited(where, asked.subject.cluster))
            except ClusterError as error:
                return [of_error("cluster", error)]
            nodes.extend(living_nodes())
            return [_counted(nodes, where), *(overlooked() if where == "local" else []), *_room(asked.subject)]

        yield Step("joining the cluster", join)
        if nodes:
            yield from _node_steps(asked, nodes)
            yield from _common_steps(asked, nodes)


def _node_steps(asked: Asked, nodes: Sequence[Node]) -> Iterator[Step]:
    """What each node can be asked by itself."""
    yield Step("versions, disks and limits", lambda: _machines(asked, nodes))
    for check in (*input_checks(asked.subject), hub_check(asked.subject), libraries_check(processors_precision(asked.subject, nodes))):
        yield Step(check.name, partial(_everywhere, check, nodes))


def processors_precision(subject: Subject, nodes: Sequence[Node]) -> str:
    """The precision in which processors train, "" for none: a node without GPUs beside others that have some does not train."""
    return "" if any(node.gpus for node in nodes) else subject.precision


def _common_steps(asked: Asked, nodes: Sequence[Node]) -> Iterator[Step]:
    """What nodes have in common, and what is started on one of them."""
    for purpose, path in asked.paths.items():
        yield Step("shared path", partial(check_shared, purpose, path, nodes))
    if not asked.paths and len(nodes) > 1:
        missing = warn("shared path", "no directory is named that the nodes should share", "give the run's --dir, and its settings")
        yield Step("shared path", lambda: [missing])
    yield Step("GPUs", lambda: check_placed_gpus([node for node in nodes if node.gpus]))
    yield Step("all-reduce", lambda: check_all_reduce(ring_of(nodes, _free_gpus())))
    for judge, check in zip(asked.subject.judges, judge_checks(asked.subject, check_judge), strict=True):
        yield Step(check.name, partial(_somewhere, check, 0.0, judge_gpus(judge)))
    yield Step("engine", lambda: _engine(asked.subject))


@contextmanager
def visited(address: str, wanted: ClusterSettings | None) -> Iterator[None]:
    """A cluster that is joined, or a local one as a run would start it, gone with its files and token when it is left.

    Raises ClusterError.
    """
    if address != "local":
        with joined(address, "daa-doctor", 0):
            yield
        return
    # Without a token in the environment Ray would leave one in the home directory.
    given = {} if has_ray_token() else {RAY_TOKEN: secrets.token_hex(32)}
    cpus = math.ceil(needed(wanted, wanted.gangs)["CPU"]) if wanted is not None else 0
    os.environ.update(given)
    try:
        with TemporaryDirectory(prefix="daa-ray-", ignore_cleanup_errors=True) as files, joined("local", "daa-doctor", cpus, Path(files)):
            yield
    finally:
        for name in given:
            del os.environ[name]


def _counted(nodes: Sequence[Node], address: str) -> Finding:
    gpus, cpus = (sum(node.resources.get(kind, 0.0) for node in nodes) for kind in ("GPU", "CPU"))
    told = f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'} with {gpus:g} GPUs and {cpus:g} CPUs"
    return ok("cluster", f"{told}, a Ray of this machine started for the check" if address == "local" else f"{told} at {address}")


def overlooked() -> list[Finding]:
    """A cluster that `ray start` has made on this machine, and that runs would not join."""
    if (there := read_ray_address()) is None:
        return []
    fix = "export RAY_ADDRESS=auto, for runs and for this check"
    return [warn("cluster", f"a Ray cluster runs here, at {there}, and runs would start another beside it", fix)]


def _room(subject: Subject) -> list[Finding]:
    """Whether the run's workers and engines find room."""
    if (wanted := subject.cluster) is None:
        return []
    try:
        require(wanted, nodes_of_cluster())
    except ClusterError as error:
        return [of_error("room", error)]
    told = f"{wanted.first_gangs} worker groups of {wanted.workers} and {wanted.engines} engines"
    return [ok("room", f"there are CPUs and GPUs for {told}")]


def _machines(asked: Asked, nodes: Sequence[Node]) -> list[Finding]:
    known: dict[str, Facts] = {}
    findings: list[Finding] = []
    for node, answer in answers(facts_check(asked), nodes).items():
        if answer.failure is None:
            known[node.name] = answer.value
            found = [*of_facts(answer.value, asked.limits), *uncounted_gpus(node, answer.value)]
        else:
            found = [answer.failure]
        findings += at(node, nodes, found)
    return [*merged(findings), *check_same(known)]


def uncounted_gpus(node: Node, facts: Facts) -> list[Finding]:
    """GPUs that the driver shows and Ray does not give away."""
    if facts.gpus <= node.gpus:
        return []
    fix = "start Ray there without --num-gpus and without CUDA_VISIBLE_DEVICES, unless they are kept back on purpose"
    return [warn("GPUs", f"the driver shows {facts.gpus} and Ray has {node.gpus}", fix)]


def _everywhere(check: Check, nodes: Sequence[Node]) -> list[Finding]:
    return merged(everywhere(check, nodes))


def check_placed_gpus(nodes: Sequence[Node]) -> list[Finding]:
    """Whether torch sees, inside a placement group, the GPUs that Ray gives it, on each of the nodes."""
    if not nodes:
        return [ok("GPUs", "the cluster has none: training and answering use processors")]
    group = placement_group([{"GPU": float(node.gpus)} for node in nodes], strategy="STRICT_SPREAD")
    try:
        if not group.wait(_PLACED_S):
            free = sum(_free_gpus().values())
            return [warn("GPUs", f"{free:g} of {sum(node.gpus for node in nodes)} are free, so they were not tried", _BUSY_FIX)]
        holders = placement_group_table(group)["bundles_to_node_id"]
        names = {node.id: node for node in nodes}
        tasks = {}
        for number, node in enumerate(nodes):
            place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
            check = gpus_check(node.gpus)
            tasks[names[holders[number]]] = check, started(check, num_cpus=0, num_gpus=node.gpus, scheduling_strategy=place)
        end = time.monotonic() + gpus_check(0).seconds + STARTING_S
        return merged([each for node, (check, task) in tasks.items() for each in at(node, nodes, answer_of(check, task, end).findings)])
    finally:
        remove_placement_group(group)


def _engine(subject: Subject) -> list[Finding]:
    wanted = subject.cluster
    cpus, gpus = (engine_cpus(wanted), wanted.gpus_per_engine) if wanted is not None else (0.0, gpus_or_default(None))
    return _somewhere(engine_check(subject), cpus, gpus)


def _somewhere(check: Check, cpus: float, gpus: float) -> list[Finding]:
    """A check on whichever node has room for it now."""
    has = ray.cluster_resources()
    if gpus > has.get("GPU", 0.0):
        return [fail(check.name, f"it wants {gpus:g} GPUs, and the cluster has {has.get('GPU', 0.0):g}", "add nodes, or ask for fewer")]
    free = ray.available_resources()
    if gpus > free.get("GPU", 0.0) or cpus > free.get("CPU", 0.0):
        return [warn(check.name, "what it needs is in use, so it was not started", _BUSY_FIX)]
    end = time.monotonic() + check.seconds + STARTING_S
    return answer_of(check, started(check, num_cpus=cpus, num_gpus=gpus), end).findings


def _free_gpus() -> Mapping[str, float]:
    """GPUs that nobody holds, by node."""
    from ray._private.state import available_resources_per_node

    return {str(node): resources.get("GPU", 0.0) for node, resources in available_resources_per_node().items()}

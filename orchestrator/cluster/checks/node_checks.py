"""Checks on the nodes of a cluster: each runs in a process of its own on its node, and a node that does not answer is a finding."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cluster.asking import unwrapped
from orchestrator.cluster.placement import name_of
from orchestrator.doctor.apart import Answer, Check, run_apart
from orchestrator.doctor.findings import Finding, fail

# Until a task's process is there.
STARTING_S = 90.0
NODE_FIX = "is the node up, with this version of daa and its requirements? /tmp/ray/session_latest/logs there has the worker's own words"


@dataclass(frozen=True, eq=False)
class Node:
    """A living node: Ray's identifier, a name for people, and its resources."""

    id: str
    name: str
    gpus: int
    resources: Mapping[str, float]


def living_nodes() -> list[Node]:
    """The cluster's nodes, in an order that stays."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    made = [Node(node["NodeID"], name_of(node), int(node["Resources"].get("GPU", 0)), node["Resources"]) for node in alive]
    return sorted(made, key=lambda node: node.name)


def on_node(node: Node) -> NodeAffinitySchedulingStrategy:
    """On this node or nowhere."""
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


def answers(check: Check, nodes: Sequence[Node]) -> dict[Node, Answer]:
    """A check on all nodes at once."""
    asked = {node: started(check, num_cpus=0, scheduling_strategy=on_node(node)) for node in nodes}
    end = time.monotonic() + check.seconds + STARTING_S
    return {node: answer_of(check, task, end) for node, task in asked.items()}


def started(check: Check, **where: Any) -> Any:
    """A check as a task; `where` are Ray's options. It is not tried twice."""
    return ray.remote(run_apart).options(max_retries=0, **where).remote(check)


def answer_of(check: Check, task: Any, end: float) -> Answer:
    """What a task answered until `end` on the monotonic clock."""
    try:
        return ray.get(task, timeout=max(0.0, end - time.monotonic()))
    except GetTimeoutError:
        with suppress(RayError):
            ray.cancel(task, force=True)
        return Answer(failure=fail(check.name, "no answer: the check was not started, or did not end", NODE_FIX))
    except RayError as error:
        return Answer(failure=fail(check.name, reason(error), NODE_FIX))


def reason(error: RayError) -> str:
    """The last line of what Ray makes of an error, which is the error itself."""
    inner = unwrapped(error)
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    return f"{type(inner).__name__}: {lines[-1][:300] if lines else 'nothing more is known'}"


def everywhere(check: Check, nodes: Sequence[Node]) -> list[Finding]:
    """The findings of a check on all nodes."""
    return [finding for node, answer in answers(check, nodes).items() for finding in at(node, nodes, answer.findings)]


def at(node: Node, nodes: Sequence[Node], findings: Sequence[Finding]) -> list[Finding]:
    """Findings with their node's name, where there are several."""
    return [replace(finding, where=node.name) for finding in findings] if len(nodes) > 1 else list(findings)

"""The speed of the network between nodes as training uses it: torch.distributed's all-reduce among Ray actors."""

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from orchestrator.cluster.checks.node_checks import STARTING_S, Node, on_node, reason
from orchestrator.doctor.findings import Finding, fail, ok, warn

MIB = 1 << 20
SIZES = {"gloo": (MIB, 16 * MIB, 64 * MIB), "nccl": (MIB, 64 * MIB, 512 * MIB)}
# Below this, in GB/s, each step of a 7B model would wait for its gradients for more than ten seconds (NCCL), or nothing is to be expected.
SLOW = {"gloo": 0.05, "nccl": 1.0}
_REPEATS, _SECONDS, _GIGA = 5, 120.0, 1e9
_FIX = (
    "open all TCP ports between the nodes; where they have several networks, export GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME (`ip addr` "
    "names them) before Ray is started; NCCL_DEBUG=INFO tells more"
)
_SLOW_FIX = "does it go over the fast network? NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME chooses; NCCL_DEBUG=INFO says NET/IB or NET/Socket"


@dataclass(frozen=True)
class Ring:
    """Who takes part: one rank on each of `places`, over `backend`; `told` is what is measured, in words."""

    backend: str
    places: Sequence[Node]
    told: str


@dataclass(frozen=True)
class Timing:
    """How long all-reduces of so many bytes took, the slowest rank's seconds of each."""

    size: int
    seconds: Sequence[float]

    @property
    def bandwidths(self) -> list[float]:
        """Algorithm bandwidth in GB/s (1e9 bytes reduced a second, whatever the network carried for it), slowest first."""
        return sorted(self.size / each / _GIGA for each in self.seconds)


def ring_of(nodes: Sequence[Node], free_gpus: Mapping[str, float]) -> Ring:
    """One rank on each node that has GPUs, or on each where fewer than two have; on a single node two.

    NCCL where each rank has a free GPU, and gloo elsewhere.
    """
    with_gpus = [node for node in nodes if node.gpus]
    members = with_gpus if len(with_gpus) > 1 else list(nodes)
    several = len(members) > 1
    needed = 1 if several else 2
    told = f"between {len(members)} nodes" if several else "between two processes of the one node, not over a network"
    places = members if several else members * 2
    if any(node.gpus < needed for node in members):
        return Ring("gloo", places, told)
    if all(free_gpus.get(node.id, 0.0) >= needed for node in members):
        return Ring("nccl", places, told)
    return Ring("gloo", places, f"{told}, without the GPUs, which are in use")


def check_all_reduce(ring: Ring) -> list[Finding]:
    """Make the ranks, have them reduce, end them."""
    gpus = 1 if ring.backend == "nccl" else 0
    ranks: list[Any] = [_Rank.options(num_cpus=0, num_gpus=gpus, scheduling_strategy=on_node(place)).remote() for place in ring.places]
    try:
        end = time.monotonic() + _SECONDS + STARTING_S
        address = ray.get(ranks[0].address.remote(), timeout=STARTING_S)
        asked = [rank.measure.remote(ring.backend, address, number, len(ranks), SIZES[ring.backend]) for number, rank in enumerate(ranks)]
        measured: list[list[Timing]] = ray.get(asked, timeout=max(0.0, end - time.monotonic()))
    except GetTimeoutError:
        return [fail("all-reduce", f"{ring.backend} {ring.told} does not come to an end within {_SECONDS:g} s", _FIX)]
    except RayError as error:
        return [fail("all-reduce", f"{ring.backend} {ring.told}: {reason(error)}", _FIX)]
    finally:
        for rank in ranks:
            ray.kill(rank)
    return [judged(ring, slowest(measured))]


def slowest(ranks: Sequence[Sequence[Timing]]) -> list[Timing]:
    """Each all-reduce ends when its last rank does."""
    together = [list(zip(*(timing.seconds for timing in of_size), strict=True)) for of_size in zip(*ranks, strict=True)]
    return [Timing(timing.size, [max(each) for each in seconds]) for timing, seconds in zip(ranks[0], together, strict=True)]


def judged(ring: Ring, timings: Sequence[Timing]) -> Finding:
    """The bandwidth in words; the largest size decides."""
    *small, large = timings
    speeds = large.bandwidths
    others = ", ".join(f"{median(each.bandwidths):.2g} at {each.size // MIB} MiB" for each in small)
    told = (
        f"{ring.backend} {ring.told}: algorithm bandwidth {median(speeds):.2f} GB/s ({speeds[0]:.2f}–{speeds[-1]:.2f} in {len(speeds)} "
        f"runs) at {large.size // MIB} MiB; {others}"
    )
    return warn("all-reduce", f"{told}: that is slow", _SLOW_FIX) if median(speeds) < SLOW[ring.backend] else ok("all-reduce", told)


@ray.remote(max_restarts=0)
class _Rank:
    """A process of the group."""

    def address(self) -> str:
        """A port of this node that is free."""
        host = ray.util.get_node_ip_address()
        with socket.socket() as found:
            found.bind(("", 0))
            return f"tcp://{host}:{found.getsockname()[1]}"

    def measure(self, backend: str, address: str, rank: int, world: int, sizes: Sequence[int]) -> list[Timing]:
        """Join the group and time all-reduces of each size. Raises when a sum is wrong."""
        import torch
        import torch.distributed as dist

        device = torch.device("cuda" if backend == "nccl" else "cpu")
        dist.init_process_group(backend, init_method=address, rank=rank, world_size=world, timeout=timedelta(seconds=_SECONDS / 2))
        try:
            return [Timing(size, [self._seconds(torch, device, size, rank) for _ in range(_REPEATS + 1)][1:]) for size in sizes]
        finally:
            dist.destroy_process_group()

    def _seconds(self, torch: Any, device: Any, size: int, rank: int) -> float:
        """One all-reduce of float32, from a barrier on."""
        dist = torch.distributed
        values = torch.full((size // 4,), float(rank + 1), device=device)
        dist.barrier()
        started = time.perf_counter()
        dist.all_reduce(values)
        total = float(values[-1])
        seconds = time.perf_counter() - started
        world = dist.get_world_size()
        if total != world * (world + 1) / 2:
            raise RuntimeError(f"the sum over ranks is {total}, not {world * (world + 1) / 2}")
        return seconds

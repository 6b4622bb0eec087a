"""What can happen to a running search, one function each: what was hit, or None when there was nothing of the kind to hit."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from tests.cluster.small_search import RunningCommand, wait_until

HEAD = {"num_cpus": 2, "include_dashboard": False}
_MARK = "DAA_CHAOS_MARK"
_GONE_S = 60


@dataclass
class Ground:
    """A cluster of two nodes on this machine, and a search on it. `frozen_s` is how long a stopped process stands still."""

    directory: Path
    settings: Path
    mark: str
    frozen_s: float
    chance: random.Random
    cluster: Cluster = field(init=False)
    search: RunningCommand = field(init=False)

    def __post_init__(self) -> None:
        """Start both nodes, whose processes inherit the mark, and the search."""
        os.environ[_MARK] = self.mark
        self.begin_cluster()
        self.search = self.command("search", str(self.settings), "--dir", str(self.directory))

    def begin_cluster(self) -> None:
        """A head node and another one."""
        self.cluster = Cluster(initialize_head=True, head_node_args=HEAD)
        os.environ["RAY_ADDRESS"] = str(self.cluster.address)
        self.second = self.cluster.add_node(num_cpus=1)

    def command(self, *arguments: str) -> RunningCommand:
        """A `daa` process."""
        return RunningCommand(*arguments, directory=self.directory.parent)

    def resume(self) -> None:
        """The search again, as its user would have it go on."""
        self.search = self.command("search", "--resume", str(self.directory))

    def processes(self, title: str) -> list[psutil.Process]:
        """The cluster's living processes with this in their title."""
        return [process for process in psutil.process_iter() if self._is_ours(process) and title in title_of(process)]

    def end(self) -> None:
        """Take everything down."""
        self.search.process.kill()
        self.cluster.shutdown()
        os.environ.pop("RAY_ADDRESS", None)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


Fault = Callable[[Ground], str | None]


def killed(title: str) -> Fault:
    """Kill one process of a kind, as the system does when memory is short."""

    def strike(ground: Ground) -> str | None:
        return _signalled(ground, title, signal.SIGKILL)

    return strike


def frozen(title: str) -> Fault:
    """One process of a kind stands still for a while, as on a machine that swaps."""

    def strike(ground: Ground) -> str | None:
        victims = ground.processes(title)
        if not victims:
            return None
        victim = ground.chance.choice(victims)
        try:
            victim.send_signal(signal.SIGSTOP)
            time.sleep(ground.frozen_s)
            victim.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            return None
        return f"{title} {victim.pid} for {ground.frozen_s:g} s"

    return strike


def driver_killed(ground: Ground) -> str | None:
    """Kill `daa search`, and resume."""
    if ground.search.process.poll() is not None:
        return None
    ground.search.process.kill()
    ground.search.process.wait(_GONE_S)
    ground.resume()
    return "driver"


def node_lost(ground: Ground) -> str | None:
    """The second node is gone at once, and another one joins."""
    ground.cluster.remove_node(ground.second, allow_graceful=False)
    ground.second = ground.cluster.add_node(num_cpus=1)
    return "a node"


def head_lost(ground: Ground) -> str | None:
    """The whole cluster is gone; it is started anew, and the search resumed."""
    ground.search.process.kill()
    ground.search.process.wait(_GONE_S)
    for process in ground.processes(""):
        if process.pid != os.getpid():
            _quietly_kill(process)
    ground.cluster.shutdown()
    wait_until(lambda: not ground.processes("ray::"), _GONE_S, "nothing is left of the cluster that was lost")
    ground.begin_cluster()
    ground.resume()
    return "the head"


FAULTS: Mapping[str, Fault] = {
    "worker killed": killed("ray::RayTrainWorker"),
    "controller killed": killed("ray::TrainController"),
    "engine killed": killed("ray::EngineActor"),
    "judge killed": killed("ray::JudgeActor"),
    "ledger killed": killed("ray::LedgerActor"),
    "hub killed": killed("ray::TrialHub"),
    "gangs killed": killed("ray::GangsActor"),
    "driver killed": driver_killed,
    "node lost": node_lost,
    "head lost": head_lost,
    "worker frozen": frozen("ray::RayTrainWorker"),
    "engine frozen": frozen("ray::EngineActor"),
    "hub frozen": frozen("ray::TrialHub"),
    "judge frozen": frozen("ray::JudgeActor"),
}


def _signalled(ground: Ground, title: str, number: signal.Signals) -> str | None:
    victims = ground.processes(title)
    if not victims:
        return None
    victim = ground.chance.choice(victims)
    try:
        victim.send_signal(number)
    except psutil.NoSuchProcess:
        return None
    return f"{title} {victim.pid}"


def _quietly_kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def title_of(process: psutil.Process) -> str:
    """What a process calls itself; empty when it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

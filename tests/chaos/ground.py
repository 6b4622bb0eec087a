"""Where faults happen: a cluster of two nodes on this machine, a search on it, and its judge."""

from __future__ import annotations

import json
import os
import random
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

from tests.cluster.job_server import free_ports
from tests.cluster.small_search import RunningCommand
from tests.evals.fake_server import Answer, FakeServer, completion

HEAD = {"num_cpus": 2, "include_dashboard": False}
_MARK = "DAA_CHAOS_MARK"
_GROUND = "DAA_CHAOS_GROUND"
_INSIDE = Path(__file__).parent / "inside"


@dataclass
class Ground:
    """A cluster of two nodes on this machine, a search on it, and its judge.

    `lasts_s` is how long a fault lasts that passes by itself, `disk` a file system that holds nothing else, `paid` the questions that the
    judge gave a verdict on, in order, `forgotten` how many of its verdicts a fault took out of the search's memory.
    """

    directory: Path
    settings: Path
    mark: str
    lasts_s: float
    chance: random.Random
    judge_port: int
    disk: Path | None = None
    cluster: Cluster = field(init=False)
    search: RunningCommand = field(init=False)
    judge: FakeServer = field(init=False)
    mood: Answer | None = None
    paid: list[str] = field(default_factory=list)
    forgotten: int = 0

    def __post_init__(self) -> None:
        """Start both nodes, whose processes inherit the mark, and the search."""
        os.environ[_MARK] = self.mark
        os.environ["OPENAI_API_KEY"] = "none"
        os.environ[_GROUND] = str(self.directory)
        os.environ["PYTHONPATH"] = str(_INSIDE)
        self.begin_judge()
        self.begin_cluster()
        self.search = self.command("search", str(self.settings), "--dir", str(self.directory))

    def felt_inside(self, what: str) -> None:
        """For a while every process of the search feels it: the disk is `slow`, the `clock` wrong."""
        flag = self.directory.with_suffix(f".{what}")
        flag.touch()
        time.sleep(self.lasts_s)
        flag.unlink()

    def begin_judge(self) -> None:
        """The judge's server, on the port that settings name; its verdict is a matter of the question alone, unless it is in a mood."""
        self.judge = FakeServer(self.judge_port)
        self.judge.answer = lambda body, number: self.mood or self._paid_verdict(body)
        self.judge.__enter__()

    def end_judge(self) -> None:
        """Nobody listens there any more."""
        self.judge.__exit__(None, None, None)

    def begin_cluster(self) -> None:
        """A head node and another one."""
        self.cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "dashboard_port": free_ports(1)[0]})
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
        self.end_judge()
        for name in ("RAY_ADDRESS", "PYTHONPATH", _GROUND):
            os.environ.pop(name, None)

    def _paid_verdict(self, body: Mapping[str, Any]) -> Answer:
        question = json.dumps(body["messages"])
        self.paid.append(question)
        return _verdict(question)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def title_of(process: psutil.Process) -> str:
    """What a process calls itself; empty when it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _verdict(question: str) -> Answer:
    sure = zlib.crc32(question.encode()) % 2
    return completion("mM"[sure], {"mM"[sure]: -0.1, "mM"[1 - sure]: -2.4})

"""What can happen to a running search, one function each: what was hit, or None when there was nothing of the kind to hit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.ground import Ground
from tests.cluster.small_search import wait_until
from tests.evals.fake_server import Answer, failure

_GONE_S = 60
_NOTICE_S = 5
_HANGS_S = 600.0
_WRITERS = ("ray::LedgerActor", "ray::TrialHub", "ray::RayTrainWorker", "ray::JudgeActor")


Strike = Callable[[Ground], str | None]


@dataclass(frozen=True)
class Fault:
    """`may_end` says that the search may give up, and tell its user the cure; then it is resumed."""

    strike: Strike
    may_end: bool = False


def killed(title: str) -> Fault:
    """Kill one process of a kind, as the system does when memory is short."""

    def strike(ground: Ground) -> str | None:
        return _signalled(ground, title, signal.SIGKILL)

    return Fault(strike)


def frozen(title: str) -> Fault:
    """One process of a kind stands still for a while, as on a machine that swaps."""

    def strike(ground: Ground) -> str | None:
        victims = ground.processes(title)
        if not victims:
            return None
        victim = ground.chance.choice(victims)
        try:
            victim.send_signal(signal.SIGSTOP)
            time.sleep(ground.lasts_s)
            victim.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            return None
        return f"{title} {victim.pid} for {ground.lasts_s:g} s"

    return Fault(strike)


def driver_killed(ground: Ground) -> str | None:
    """Kill `daa search`, and resume."""
    with _down(ground):
        return "driver"


def node_lost(ground: Ground) -> str | None:
    """The second node is gone at once, and another one joins."""
    ground.cluster.remove_node(ground.second, allow_graceful=False)
    ground.second = ground.cluster.add_node(num_cpus=1)
    return "a node"


def spot_notice(ground: Ground) -> str | None:
    """The second node is told that it will be taken away, is taken away, and another one joins."""
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--deadline-remaining-seconds", str(_NOTICE_S)]
    node = ["--address", str(ground.cluster.address), "--node-id", ground.second.node_id]
    ray = str(Path(sys.executable).parent / "ray")
    subprocess.run([ray, "drain-node", *node, *reason], capture_output=True, check=True, timeout=_GONE_S)
    time.sleep(_NOTICE_S)
    return node_lost(ground)


def head_lost(ground: Ground) -> str | None:
    """The whole cluster is gone; it is started anew, and the search resumed."""
    ground.search.process.kill()
    ground.search.process.wait(_GONE_S)
    for process in ground.processes(""):
        if process.pid != os.getpid():
            with suppress(psutil.NoSuchProcess):
                process.kill()
    ground.cluster.shutdown()
    wait_until(lambda: not ground.processes("ray::"), _GONE_S, "nothing is left of the cluster that was lost")
    ground.begin_cluster()
    ground.resume()
    return "the head"


def disk_full(ground: Ground) -> str | None:
    """For a while the disk is full; where it is not the search's own, no process that writes for the search can make a file longer."""
    if ground.disk is None:
        return _writers_limited(ground)
    filler = ground.disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    time.sleep(ground.lasts_s)
    filler.unlink()
    return f"{ground.disk} for {ground.lasts_s:g} s"


def path_gone(ground: Ground) -> str | None:
    """For a while the search's directory is not there, and cannot be made."""
    aside = ground.directory.with_suffix(".aside")
    ground.directory.rename(aside)
    ground.directory.touch()
    time.sleep(ground.lasts_s)
    ground.directory.unlink()
    aside.rename(ground.directory)
    return f"the directory for {ground.lasts_s:g} s"


def felt(what: str) -> Fault:
    """For a while every process feels it: writes that must reach the disk and new names take seconds, or the clock is a day ahead."""

    def strike(ground: Ground) -> str | None:
        ground.felt_inside(what)
        return f"all processes for {ground.lasts_s:g} s"

    return Fault(strike)


def ledger_cut(ground: Ground) -> str | None:
    """The machine loses its power while the ledger's last line is written."""
    with _down(ground):
        ledger = ground.directory / "ledger.jsonl"
        last = ledger.read_bytes().splitlines(keepends=True)[-1]
        os.truncate(ledger, ledger.stat().st_size - ground.chance.randint(1, len(last) - 1))
        return "the ledger"


def checkpoint_cut(ground: Ground) -> str | None:
    """A file of a checkpoint that training would resume from ends in its middle."""
    with _down(ground):
        engines = sorted((ground.directory / "checkpoints").glob("*/step-*/engine"))
        return _cut([file for engine in engines[-1:] for file in engine.parent.rglob("*")], ground)


def cache_cut(ground: Ground) -> str | None:
    """A file of the cache ends in its middle: reference scores, or the judge's replies."""
    with _down(ground):
        return _cut([file for kind in ("*.parquet", "*.npy", "*.jsonl") for file in (ground.settings.parent / "cache").rglob(kind)], ground)


def judge_says(mood: Answer) -> Fault:
    """The judge misbehaves for a while."""

    def strike(ground: Ground) -> str | None:
        ground.mood = mood
        time.sleep(ground.lasts_s)
        ground.mood = None
        return f"the judge for {ground.lasts_s:g} s"

    return Fault(strike)


def judge_gone(ground: Ground) -> str | None:
    """Nobody listens where the judge was, for a while."""
    ground.end_judge()
    time.sleep(ground.lasts_s)
    ground.begin_judge()
    return f"the judge for {ground.lasts_s:g} s"


FAULTS: Mapping[str, Fault] = {
    "worker killed": killed("ray::RayTrainWorker"),
    "controller killed": killed("ray::TrainController"),
    "engine killed": killed("ray::EngineActor"),
    "judge's actor killed": killed("ray::JudgeActor"),
    "ledger killed": killed("ray::LedgerActor"),
    "hub killed": killed("ray::TrialHub"),
    "gangs killed": killed("ray::GangsActor"),
    "driver killed": Fault(driver_killed),
    "node lost": Fault(node_lost),
    "spot notice": Fault(spot_notice),
    "head lost": Fault(head_lost),
    "worker frozen": frozen("ray::RayTrainWorker"),
    "engine frozen": frozen("ray::EngineActor"),
    "hub frozen": frozen("ray::TrialHub"),
    "ledger frozen": frozen("ray::LedgerActor"),
    "disk full": Fault(disk_full, may_end=True),
    "path gone": Fault(path_gone, may_end=True),
    "path slow": felt("slow"),
    "clock jumps": felt("clock"),
    "ledger cut": Fault(ledger_cut),
    "checkpoint cut": Fault(checkpoint_cut),
    "cache cut": Fault(cache_cut),
    "judge hangs": judge_says(Answer(b"", delay_s=_HANGS_S)),
    "judge throttles": judge_says(failure(429)),
    "judge fails": judge_says(failure(500)),
    "judge lies": judge_says(Answer(b'{"choices": [{"message": {"content": [1, {')),
    "judge gone": Fault(judge_gone),
}


@contextmanager
def _down(ground: Ground) -> Iterator[None]:
    """The driver is dead meanwhile, and with it all that it started; then the search is resumed."""
    ground.search.process.kill()
    ground.search.process.wait(_GONE_S)
    wait_until(lambda: not ground.processes("ray::LedgerActor"), _GONE_S, "nobody writes to the ledger of the killed driver")
    yield
    ground.resume()


def _writers_limited(ground: Ground) -> str | None:
    limited = []
    for process in [each for title in _WRITERS for each in ground.processes(title)]:
        with suppress(psutil.NoSuchProcess):
            limited.append((process, process.rlimit(psutil.RLIMIT_FSIZE)))
            process.rlimit(psutil.RLIMIT_FSIZE, (0, limited[-1][1][1]))
    time.sleep(ground.lasts_s)
    for process, limits in limited:
        with suppress(psutil.NoSuchProcess):
            process.rlimit(psutil.RLIMIT_FSIZE, limits)
    return f"{len(limited)} processes for {ground.lasts_s:g} s" if limited else None


def _cut(files: list[Path], ground: Ground) -> str | None:
    """Cut one of the files in its middle."""
    long = sorted(file for file in files if file.is_file() and file.stat().st_size > 1)
    if not long:
        return None
    file = ground.chance.choice(long)
    before = _replies_in(file)
    os.truncate(file, file.stat().st_size // 2)
    ground.forgotten += before - _replies_in(file)
    return str(file.relative_to(ground.directory.parent))


def _replies_in(file: Path) -> int:
    """The judge's replies that a file remembers."""
    return file.read_bytes().count(b"\n") if file.suffix == ".jsonl" else 0


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

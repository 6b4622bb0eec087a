"""Processes that form a gloo group.

Importing DeepSpeed takes longer than most of their work: one process does it for all, who are forked from it, and two are kept.
"""

import os
import pickle
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import torch
import torch.multiprocessing

from orchestrator.training.deepspeed_engine import warm_up

KEPT_SIZE = 2
IMPORTED = ["deepspeed.ops", "transformers.models.llama.modeling_llama"]
_GRACE_S = 2.0
_kept: list["_Ranks"] = []

Work = Callable[[int, Any], Any]


def on_ranks(world_size: int, work: Work, argument: Any) -> None:
    """Call `work(rank, argument)` in `world_size` processes that form a gloo group."""
    ranks = _kept.pop() if _kept and world_size == KEPT_SIZE else _Ranks(world_size)
    ranks.call(work, argument)
    if world_size == KEPT_SIZE:
        _kept.append(ranks)
    else:
        ranks.kill()


def on_fresh_ranks(world_size: int, work: Work, argument: Any) -> None:
    """The same in processes that start with this call, in its environment, and end with it."""
    payload = pickle.dumps((work, argument))
    torch.multiprocessing.spawn(_run_once, args=(world_size, _free_port(), payload), nprocs=world_size)  # pyright: ignore[reportPrivateImportUsage]


class _Ranks:
    """A group that takes one piece of work after another, until one of its ranks fails."""

    def __init__(self, world_size: int) -> None:
        forking = torch.multiprocessing.get_context("forkserver")
        forking.set_forkserver_preload(IMPORTED)
        port = _free_port()
        pipes = [forking.Pipe() for _ in range(world_size)]
        self._connections: list[Any] = [ours for ours, _ in pipes]
        arguments = [(rank, world_size, port, theirs) for rank, (_, theirs) in enumerate(pipes)]
        self._processes = [forking.Process(target=_serve, args=each, daemon=True) for each in arguments]
        for process, (_, theirs) in zip(self._processes, pipes, strict=True):
            process.start()
            theirs.close()

    def call(self, work: Work, argument: Any) -> None:
        """Wait for every rank. When one fails, the others may wait for it for ever: they are all killed, and its traceback is raised."""
        try:
            self._hand_out(pickle.dumps((work, argument)))
        except BaseException:
            self.kill()
            raise

    def _hand_out(self, payload: bytes) -> None:
        for connection in self._connections:
            connection.send_bytes(payload)
        waiting, failures = list(self._connections), []
        # Who waits for a rank that fails may be the first to say so: all that is told at about the same time is told on.
        while waiting and (ready := cast(list[Any], wait(waiting, _GRACE_S if failures else None))):
            for connection in ready:
                waiting.remove(connection)
                if (failure := _reply(connection)) is not None:
                    failures.append(f"rank {self._connections.index(connection)}: {failure}")
        if failures:
            raise RuntimeError("\n".join(failures))

    def kill(self) -> None:
        """End all ranks, whatever they do."""
        for process in self._processes:
            process.kill()
            process.join()


def _reply(connection: Any) -> str | None:
    try:
        return connection.recv()
    except EOFError:
        return "its process died"


def _serve(rank: int, world_size: int, port: int, connection: "Connection[Any, Any]") -> None:
    """Work until the process that asks is gone."""
    _join(rank, world_size, port)
    while True:
        try:
            work, argument = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            work(rank, argument)
        except BaseException:
            connection.send(traceback.format_exc())
            raise
        connection.send(None)


def _run_once(rank: int, world_size: int, port: int, payload: bytes) -> None:
    _join(rank, world_size, port)
    work, argument = pickle.loads(payload)
    work(rank, argument)


def _join(rank: int, world_size: int, port: int) -> None:
    """What a launcher tells a rank, and what a worker does before its first trial."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        OMP_NUM_THREADS="1",
    )
    torch.set_num_threads(1)
    warm_up()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

"""A Ray head on this machine, with a job server, for tests of jobs."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import psutil

from tests.cluster.small_search import wait_until

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "disabled"}


@contextmanager
def local_head(logs: Path) -> Iterator[str]:
    """A Ray head of two CPUs with ports and files of its own; yields the dashboard's address."""
    port, dashboard = free_ports(2)
    with started_head(logs, f"--num-cpus 2 --port {port} --dashboard-port {dashboard}", ENVIRONMENT) as log:
        wait_until(lambda: is_listening(dashboard), 180, "the dashboard listens")
        # It listens before the agent that starts jobs is there.
        wait_until(lambda: _takes_jobs(f"http://127.0.0.1:{dashboard}", log), 240, f"a job is taken; {log.name} says why")
        yield f"http://127.0.0.1:{dashboard}"


@contextmanager
def started_head(logs: Path, options: str, environment: Mapping[str, str]) -> Iterator[TextIO]:
    """A Ray head with files of its own; yields its log, and kills it with all that it started."""
    # The agent's port is the same for every node of a machine unless it is named.
    (agent,) = free_ports(1)
    # Ray puts sockets below its directory, and the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as files, (logs / "head.log").open("w") as log:
        command = f"ray start --head --block {options} --temp-dir {files} --dashboard-agent-listen-port {agent}"
        head = subprocess.Popen(command.split(), env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield log
        finally:
            started = [head, *psutil.Process(head.pid).children(recursive=True)]
            for process in started:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            head.wait(30)


def _takes_jobs(address: str, log: TextIO) -> bool:
    """Whether a job that does nothing succeeds; what Ray says is logged."""
    command = ["ray", "job", "submit", "--address", address, "--", "true"]
    return subprocess.run(command, env=ENVIRONMENT, stdout=log, stderr=log, timeout=120, check=False).returncode == 0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens to."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def is_listening(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ray_job_submit(address: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Ray's own command."""
    arguments = ["ray", "job", "submit", "--address", address, "--working-dir", ".", "--", *command]
    return subprocess.run(arguments, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)


def started_daa(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Our command, begun in a directory of a user's."""
    # What is started in the background may be told to ignore Ctrl-C, and so may all that it starts.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "orchestrator.cli", *arguments]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(PROJECT), "TMPDIR": str(directory)}
    return subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def daa(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same, ended."""
    process = started_daa(directory, *arguments)
    out, err = process.communicate(timeout=700)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)

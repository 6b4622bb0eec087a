"""`ray job submit` against a local head: the job runs, and its failure is the command's failure."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.cluster.small_search import wait_until, write_small_search

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "disabled"}


@contextmanager
def local_head(logs: Path) -> Iterator[str]:
    """A Ray head of two CPUs with ports and files of its own; yields the dashboard's address."""
    ports = free_ports(2)
    # Ray puts sockets below its directory, and the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as files, (logs / "head.log").open("w") as log:
        command = f"ray start --head --block --num-cpus 2 --port {ports[0]} --dashboard-port {ports[1]} --temp-dir {files}"
        head = subprocess.Popen(command.split(), env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: is_listening(ports[1]), 180, "the dashboard listens")
            # It listens before the agent that starts jobs is there.
            wait_until(lambda: submit(f"http://127.0.0.1:{ports[1]}", "true").returncode == 0, 180, "a job is taken")
            yield f"http://127.0.0.1:{ports[1]}"
        finally:
            started = [head, *psutil.Process(head.pid).children(recursive=True)]
            for process in started:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            head.wait(30)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def submit(address: str, *command: str) -> subprocess.CompletedProcess[str]:
    arguments = ["ray", "job", "submit", "--address", address, "--working-dir", ".", "--", *command]
    return subprocess.run(arguments, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)


def test_a_submitted_search_succeeds_and_a_refused_one_fails_with_its_reason(tiny_model: Path, tmp_path: Path) -> None:
    settings = write_small_search(tmp_path, tiny_model, trials=2, steps=8)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(settings.read_text().replace("trials", "trails"))
    with local_head(tmp_path) as address:
        refused = submit(address, "python", "-m", "jobs.search", str(wrong), "--dir", str(tmp_path / "refused"))
        done = submit(address, "python", "-m", "jobs.search", str(settings), "--dir", str(tmp_path / "run"))
    assert refused.returncode != 0
    assert "did you mean 'trials'?" in refused.stdout
    assert "exit code 2" in refused.stdout + refused.stderr
    assert done.returncode == 0, done.stdout
    assert "winner:" in done.stdout
    assert (tmp_path / "run" / "leaderboard.json").is_file()

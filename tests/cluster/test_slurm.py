"""The Slurm script, with Ray itself and everything of Slurm replaced by this machine: two raylets stand for two nodes."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cluster.job_server import ENVIRONMENT, PROJECT
from tests.cluster.small_search import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

# The options of srun end with the first word that is none.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
[ "$1" = hostname ] && { echo 127.0.0.1; exit; }
exec "$@"
"""
SCONTROL = """#!/bin/bash
[ "$1" = show ] && { echo one; echo two; exit; }
echo "$@" >> {said}
"""
DAA = """#!/bin/bash
echo "$@" >> {said}
trap 'echo left >> {said}; kill %1; exit 130' TERM
sleep 600 & wait
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """What the replaced commands were told, by line; they lie in `bin` beside it."""
    said = tmp_path / "said"
    (tmp_path / "bin").mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "daa": DAA}.items():
        (tmp_path / "bin" / name).write_text(text.replace("{said}", str(said)))
        (tmp_path / "bin" / name).chmod(0o755)
    return said


@pytest.fixture
def allocation(said: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The script as Slurm runs it."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as files:
        told = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "one,two", "RAY_TMPDIR": files}
        environment = {**ENVIRONMENT, **told, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}"}
        command = [str(PROJECT / "docs" / "clusters" / "slurm.sh"), "settings.toml", str(tmp_path / "run")]
        with (tmp_path / "log").open("w") as log:
            script = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True, start_new_session=True)
        processes = [psutil.Process(script.pid)]
        yield script
        for process in {*processes, *_of_session(script.pid), *_below(files)}:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        script.wait(30)


def _of_session(session: int) -> list[psutil.Process]:
    """What the script started and left behind."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session:
                found.append(process)
    return found


def _below(files: str) -> list[psutil.Process]:
    """The Ray of this test: its processes name its directory."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(files in word for word in process.cmdline()):
                found.append(process)
    return found


def test_the_driver_begins_when_all_nodes_are_there_and_a_timely_notice_queues_the_job_again(
    allocation: subprocess.Popen[str], said: Path, tmp_path: Path
) -> None:
    wait_until(said.exists, 300, "the driver began")
    wait_until(lambda: bool(said.read_text()), 10, "it was told something")
    assert said.read_text() == f"search settings.toml --dir {tmp_path / 'run'}\n"
    allocation.send_signal(signal.SIGTERM)
    assert allocation.wait(60) != 0
    assert said.read_text().splitlines()[1:] == ["left", f"requeue {os.getpid()}"]

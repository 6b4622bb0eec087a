"""What Ray keeps of a search's state is never a part of it."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem, copy_files

from orchestrator.cluster.tune.whole_storage import whole_storage
from tests.full_disk import no_file_longer_than

LONG = b"state " * 50_000

KILLED = """
import os, signal, sys
from orchestrator.cluster.tune.whole_storage import whole_storage
stream = whole_storage().open_output_stream(sys.argv[1])
stream.write(b"half of it")
os.kill(os.getpid(), signal.SIGKILL)
"""


def copied(source: Path, target: Path) -> None:
    """As Ray Tune copies its state, from where it writes it to where it is kept."""
    copy_files(
        str(source), str(target), source_filesystem=LocalFileSystem(), destination_filesystem=pickle.loads(pickle.dumps(whole_storage()))
    )


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "state.json").write_bytes(b"before")
    copied(tmp_path / "source", tmp_path / "target")
    return tmp_path / "source", tmp_path / "target"


def test_a_copy_replaces_the_one_before(places: tuple[Path, Path]) -> None:
    source, target = places
    (source / "state.json").write_bytes(LONG)
    copied(source, target)
    assert (target / "state.json").read_bytes() == LONG
    assert os.listdir(target) == ["state.json"]


def test_a_disk_that_is_full_leaves_the_copy_before(places: tuple[Path, Path]) -> None:
    source, target = places
    (source / "state.json").write_bytes(LONG)
    with no_file_longer_than(len(LONG) // 2), pytest.raises(OSError, match="too large"):
        copied(source, target)
    assert (target / "state.json").read_bytes() == b"before"
    copied(source, target)
    assert (target / "state.json").read_bytes() == LONG


def test_a_writer_that_is_killed_leaves_the_copy_before(places: tuple[Path, Path]) -> None:
    _, target = places
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target / "state.json")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (target / "state.json").read_bytes() == b"before"

"""A file or a directory is there whole or not at all, also after the machine lost its power, and nobody's remains stay."""

import subprocess
import sys
from pathlib import Path

import pytest

from evals.whole_files import making, replacing, replacing_bytes
from tests.power_loss import Power


def test_what_took_its_place_outlives_a_loss_of_power(tmp_path: Path, power: Power) -> None:
    with replacing(tmp_path / "text") as text, replacing_bytes(tmp_path / "bytes") as content:
        text.write("told\n")
        content.write(b"told\n")
    with making(tmp_path / "model") as partial:
        (partial / "inner").mkdir()
        (partial / "weights").write_text("told\n")
        (partial / "inner" / "weights").write_text("told\n")
    power.fails(tmp_path)
    found = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*") if file.is_file()}
    assert found == dict.fromkeys(["text", "bytes", "model/weights", "model/inner/weights"], "told\n")


def test_a_directory_whose_filling_fails_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), making(tmp_path / "model") as partial:
        (partial / "weights").touch()
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


FILL = """
import os, signal, sys
from pathlib import Path
from evals.whole_files import making
with making(Path(sys.argv[1])) as partial:
    (partial / "weights").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_of_a_directory_is_removed_and_what_another_fills_is_not(tmp_path: Path) -> None:
    model = tmp_path / "model [1]"
    subprocess.run([sys.executable, "-c", FILL, str(model)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError, match="not empty"), making(model) as slow:
        (slow / "weights").write_text("slow")
        assert list(tmp_path.iterdir()) == [slow]
        with making(model) as fast:
            (fast / "weights").write_text("fast")
        assert slow.is_dir()
    assert sorted(tmp_path.rglob("*")) == [model, model / "weights"] and (model / "weights").read_text() == "fast"

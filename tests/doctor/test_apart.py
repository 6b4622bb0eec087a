"""A check that hangs, crashes or raises is a finding, and leaves neither a process nor a file."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.doctor.apart import Check, run_apart
from orchestrator.doctor.findings import Finding, Status, fail, merged, ok, warn
from orchestrator.doctor.inputs import check_writable
from orchestrator.errors import UserError

FIX = "do this"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def find_nothing() -> list[Finding]:
    for name in ("TMPDIR", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR"):
        (Path(os.environ[name]) / f"left-{name}").write_text("by a library")
    print("a library's words")
    return [ok("thing", os.environ["HF_HOME"])]


def refuse() -> list[Finding]:
    raise UserError("it is wrong", "here", "cure it so")


def refuse_at_length() -> list[Finding]:
    raise UserError(f"weights are missing: {', '.join(f'layers.{number}.weight' for number in range(190))}", "here", "cure it so")


def break_down() -> list[Finding]:
    raise ZeroDivisionError("a detail\nand a long story")


def crash() -> list[Finding]:
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    return []


def hang(mark: str) -> list[Finding]:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", mark])
    time.sleep(600)
    return []


def failure(work: object, *arguments: object, seconds: float = 60) -> Finding:
    (found,) = run_apart(Check("thing", work, arguments, seconds, FIX)).findings  # pyright: ignore[reportArgumentType]
    assert found.status is Status.FAIL
    return found


def test_what_a_check_finds_comes_back_and_what_it_leaves_is_gone(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    # The hub's own cache is read where it always is.
    assert run_apart(Check("thing", find_nothing)).findings == [ok("thing", "/somewhere/huggingface")]
    assert list(temporary.iterdir()) == []


def test_a_refusal_of_our_own_keeps_its_cure() -> None:
    assert failure(refuse) == fail("thing", "it is wrong (here)", "cure it so")


def test_a_refusal_that_lists_hundreds_of_names_is_told_by_its_beginning_and_its_end() -> None:
    told = failure(refuse_at_length)
    assert told.found.startswith("weights are missing: layers.0.weight, ") and told.found.endswith("layers.189.weight (here)")
    assert len(told.found) < 400 and told.fix == "cure it so"


def test_a_librarys_error_is_told_in_a_line_with_the_checks_fix() -> None:
    assert failure(break_down) == fail("thing", "ZeroDivisionError: a detail", FIX)


def test_a_crash_is_told_with_its_signal_and_its_last_words() -> None:
    assert failure(crash) == fail("thing", "the check ended by signal SIGSEGV: the last words", FIX)


def test_a_check_that_hangs_is_ended_with_all_that_it_started(temporary: Path) -> None:
    mark = "a-sleeper-of-the-doctors-tests"
    assert failure(hang, mark, seconds=3) == fail("thing", "no answer within 3 s", FIX)
    assert [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])] == []
    assert list(temporary.iterdir()) == []


def test_a_directory_that_cannot_be_written_fails_and_one_that_can_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "runs" / "first"
    assert failure(check_writable, "the run", str(tmp_path / "file" / "runs")).fix
    assert failure(check_writable, "the run", "/proc/daa/runs").fix
    assert [each.status for each in check_writable("the run", str(place))] == [Status.OK]
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_findings_of_many_nodes_that_want_the_same_are_told_as_one() -> None:
    nodes = [Finding("disk", Status.FAIL, f"{number} GB", "free some", where=f"node-{number}") for number in range(5)]
    whole = [*nodes, warn("files", "few", "more"), ok("disk", "much")]
    assert merged(whole) == [
        Finding("disk", Status.FAIL, "0 GB; 1 GB; 2 GB; …", "free some", "node-0, node-1, node-2 and 2 more"),
        warn("files", "few", "more"),
        ok("disk", "much"),
    ]

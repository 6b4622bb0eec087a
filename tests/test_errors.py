"""Codes of errors are stable, all of them documented, and survive the way between processes."""

import pickle
import re
from pathlib import Path

import pytest

import orchestrator.errors
from evals.errors import first_line
from orchestrator.errors import DaaError, SettingsError

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = re.findall(r"^\| (DAA-\d{4}) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
# Once given out, a code keeps its meaning: scripts and searches of the web go by it.
GIVEN_OUT = {
    *(1, 2, 3),
    *(100, 101, 102, 103, 110, 111),
    *(200, 201, 202, 210, 211, 212, 213, 220),
    *(300, 301, 302, 303),
    *(400, 401, 402, 403, 404),
    *(500, 510, 511, 512, 513),
    *(600, 601, 602, 610),
    *(701, 702, 703, 710, 711, 712, 713),
}
# Those of a whole kind of error, which many places raise.
KINDS = {
    "DaaError": "DAA-0001",
    "UserError": "DAA-0002",
    "MachineError": "DAA-0003",
    "SettingsError": "DAA-0100",
    "DataFormatError": "DAA-0200",
    "ModelError": "DAA-0300",
    "JudgeUnavailableError": "DAA-0400",
    "BudgetSpentError": "DAA-0401",
    "TrainingDivergedError": "DAA-0500",
    "CheckpointError": "DAA-0510",
    "ClusterError": "DAA-0600",
}


def used() -> set[str]:
    """The codes that the sources name."""
    files = [file for room in ("orchestrator", "evals") for file in (ROOT / room).rglob("*.py")]
    return {code for file in files for code in re.findall(r'code(?:: str)? ?= ?"(DAA-\d{4})"', file.read_text())}


def test_every_code_is_documented_once_and_every_documented_code_is_used() -> None:
    assert len(DOCUMENTED) == len(set(DOCUMENTED))
    assert set(DOCUMENTED) == used()


def test_no_code_that_was_given_out_is_gone() -> None:
    assert {f"DAA-{number:04d}" for number in GIVEN_OUT} <= set(DOCUMENTED)


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    assert {name: getattr(orchestrator.errors, name).code for name in orchestrator.errors.__all__} == KINDS


def test_every_other_code_is_that_of_a_refusal_that_a_test_provokes() -> None:
    tests = [file.read_text() for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    assert {code for code in DOCUMENTED if not any(code in text for text in tests)} <= set(KINDS.values())


@pytest.mark.parametrize("code", ["", "DAA-0101"])
def test_a_code_survives_the_way_between_processes(code: str) -> None:
    error = SettingsError("what", "where", "cure", code)
    assert pickle.loads(pickle.dumps(error)).code == (code or "DAA-0100")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_anothers_error_is_told_by_its_first_line_or_its_kind() -> None:
    assert [first_line(error) for error in (OSError(), KeyError("a\nb"), ValueError("\nbad\nworse"))] == ["OSError", "'a\\nb'", "bad"]


def test_an_error_without_a_code_of_its_place_has_that_of_its_kind() -> None:
    assert DaaError("what").code == "DAA-0001"
    assert SettingsError("what").code == "DAA-0100"

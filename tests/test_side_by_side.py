"""Tests are shared out so that none waits for another's engine, and none pays for another's fixtures."""

from pathlib import Path

import pytest

from tests.side_by_side import LONGEST, longest_first, queue_of

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py"))
MARK = "mark." + "cluster"
STARTING = [file for file in FILES if MARK in (ROOT / file).read_text(encoding="utf-8")]


def test_all_tests_that_start_ray_or_an_engine_are_in_one_queue() -> None:
    engines = [file for file in STARTING if not file.startswith(("tests/training/", "tests/flows/"))]
    assert {queue_of(f"{file}::test_it[1]") for file in engines} == {"engines"}
    assert {queue_of(f"{file}::test_it") for file in FILES if file.startswith("tests/cluster/")} == {"engines"}


def test_flows_may_run_beside_each_other() -> None:
    flows = [file for file in FILES if file.startswith("tests/flows/")]
    assert len({queue_of(f"{file}::test_it") for file in flows}) == len(flows) > 2


def test_the_tests_of_any_other_file_are_a_queue_of_their_own() -> None:
    assert queue_of("tests/training/test_splits.py::test_it[a::b]") == queue_of("tests/training/test_splits.py::test_that")
    assert queue_of("tests/training/test_splits.py::test_it") != queue_of("tests/training/test_learning.py::test_it")


def test_the_longest_come_first_and_no_test_is_lost(request: pytest.FixtureRequest) -> None:
    assert set(LONGEST) <= set(STARTING)
    items = request.session.items
    ordered = longest_first(list(reversed(items)))
    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in items)
    ranks = [0 if queue_of(item.nodeid) == "engines" else 1 if str(item.path.relative_to(ROOT)) in STARTING else 2 for item in ordered]
    assert ranks == sorted(ranks)

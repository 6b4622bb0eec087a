"""What is promised of large searches, at a size that takes seconds; `benchmarks/` measures the same at full size."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks() -> Iterator[None]:
    """Benchmarks import each other from their folder."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def measure(benchmark: str, *asked: Any) -> dict[str, float]:
    """The figures of a benchmark."""
    return import_module(benchmark).measure(*asked)


def test_a_hundred_thousand_replies_open_at_once_and_are_looked_up_in_microseconds(tmp_path: Path) -> None:
    if sys.gettrace() is not None:
        pytest.skip("a process whose lines are traced looks up more slowly")
    found = measure("replies", tmp_path / "replies.jsonl", 100_000)
    assert found["open_s"] < 2
    assert found["hit_median_us"] < 50
    assert found["miss_median_us"] < 50
    assert found["table_mb"] < found["file_mb"] / 10


def test_a_report_is_made_of_all_trials_within_its_memory(tmp_path: Path) -> None:
    found = measure("reports", tmp_path, 60, 100)
    assert found["rows"] == 61
    assert found["processor_s"] < 30
    assert found["peak_mb"] < 1000


def test_two_hundred_judge_calls_at_a_time_lose_no_verdict_and_pay_none_twice() -> None:
    faults = import_module("judge_server").Faults(too_many=0.05, broken=0.02, hang=0.005, least_s=0.05, most_s=0.1)
    found = measure("judge_load", 0.05, 200, 400, faults)
    assert found["verdicts"] == found["paid"] == found["questions"]
    assert found["lost"] == found["asked_again"] == found["paid_twice"] == 0
    assert found["open_files_growth"] <= 0
    assert found["too_many"] > 0
    assert found["busiest"] > 100


def test_a_long_search_keeps_its_verdicts_and_nothing_else() -> None:
    found = measure("growth", 400, 100, 4_000)
    # Files of tests before it may be closed meanwhile.
    assert max(found["open_files_growth"], found["journal_open_files_growth"], found["journal_tasks_growth"]) <= 0
    assert found["files"] == 1
    assert found["kilobytes_per_trial"] < 40
    assert found["journal_growth_mb"] < 10

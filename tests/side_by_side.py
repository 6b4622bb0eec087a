"""Which tests may run beside each other when several processes share them out."""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadFileScheduling

# They start Ray or vLLM, which take all cores and much memory, and wait for them with a deadline.
ONE_AT_A_TIME = (
    "tests/cluster/",
    "tests/evals/test_served_judge.py",
    "tests/evals/test_vllm_engine.py",
    "tests/export/test_answering.py",
    "tests/hostile/test_secrets.py",
)

# The files of whole commands that take longest: what is begun last has nothing beside it.
LONGEST = tuple(f"tests/flows/test_{name}.py" for name in ("submit_flow", "doctor", "rounds_flow", "reward_flow", "benchmark_flow"))


class OneEngineAtATime(LoadFileScheduling):
    """Hands out whole queues of tests."""

    def _split_scope(self, nodeid: str) -> str:
        return queue_of(nodeid)


def queue_of(nodeid: str) -> str:
    """Tests of one queue follow each other in one process: those of a file, which share fixtures, and all that start Ray or vLLM."""
    return "engines" if nodeid.startswith(ONE_AT_A_TIME) else nodeid.split("::", 1)[0]


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Files with tests that start processes come first, so that the short ones fill what is left of the time at the end."""
    long = {item.path for item in items if item.get_closest_marker("cluster")}
    order = {file: place for place, file in enumerate(LONGEST)}

    def key(item: pytest.Item) -> tuple[bool, bool, int]:
        place = order.get(item.nodeid.split("::", 1)[0], len(LONGEST))
        return not item.nodeid.startswith(ONE_AT_A_TIME), item.path not in long, place

    return sorted(items, key=key)

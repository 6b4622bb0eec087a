"""The clock of the ledger and of the budget."""

import json
import time

import pytest

from orchestrator.search.clock import now
from orchestrator.search.ledger import line_of


def test_it_tells_the_time_of_day_and_a_clock_that_is_set_meanwhile_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time()
    assert now() == pytest.approx(right, abs=60)
    for hours in (-24, 24):
        monkeypatch.setattr(time, "time", lambda hours=hours: right + 3600 * hours)
        assert now() == pytest.approx(right, abs=60)
        assert json.loads(line_of("end", {}))["time"] == pytest.approx(right, abs=60)

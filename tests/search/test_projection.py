"""How far a search is, and what it will have taken in all."""

import pytest

from orchestrator.search.budget import Spent
from orchestrator.search.ledger import Event, Events
from orchestrator.search.projection import projected
from orchestrator.search.trial import Trial
from tests.search import events as made

TRIALS = [Trial(f"{number:03d}-dpo", "dpo", {}, {}) for number in range(1, 5)]


def halfway() -> list[Event]:
    """Four trials of eight that are planned have joined, two are over; the finals will ask for 300 verdicts."""
    begun = {**made.began(time=100.0, gpus=2.0), "final_judgments": 300}
    ends = [made.ended(trial.id, "completed", time=3600.0) for trial in TRIALS[:2]]
    return [begun, *map(made.joined, TRIALS), *(made.scored(trial.id, 10, 60.0) for trial in TRIALS[:2]), *ends]


def test_what_is_expected_in_all_goes_by_the_trials_that_are_over_and_has_the_finals_in_it() -> None:
    found = projected(Events(halfway()), 8, 3700.0)
    assert (found.joined, found.over, found.planned, found.in_finals) == (4, 2, 8, False)
    assert found.spent == Spent(1.0, 2.0, 204, 0.0)
    assert found.expected == Spent(4.0, 8.0, 4 * 204 + 300, 0.0)


def test_runs_of_the_finals_are_no_trials_and_in_the_finals_nothing_is_projected() -> None:
    run = Trial("001-dpo-seed1", "dpo", {}, {"seed": 1})
    finals = [{"event": "finals", "time": 3700.0}, made.joined(run, until=10, seed_of="001-dpo"), made.ended(run.id, "completed")]
    found = projected(Events([*halfway(), *finals]), 8, 4000.0)
    assert (found.joined, found.over, found.in_finals, found.expected) == (4, 2, True, None)


@pytest.mark.parametrize("planned", [None, 8])
def test_before_a_trial_is_over_or_where_the_plan_is_not_known_nothing_is_expected(planned: int | None) -> None:
    events = [event for event in halfway() if planned is None or event["event"] != "end"]
    assert projected(Events(events), planned, 3600.0).expected is None
    assert projected(Events(), planned, 0.0).spent == Spent()

"""Where a search stands is told by what happens in its latest session."""

from typing import Any

import pytest

from orchestrator.search.ledger import Event, Events
from orchestrator.search.phase import phase_of, trials_planned
from orchestrator.search.progress import progress
from orchestrator.search.projection import projected
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from tests.search.events import attempted, began, capability, ended, held_out, joined, scored, verdicts

FOUR = {"name": "mine", "search": {"trials": 4}, "finals": {"finalists": 3, "seeds": 1}}
WITH_FINALS = {**FOUR, "evaluation": {"held_out": "h.jsonl"}}


def trial(name: str) -> Trial:
    """A trial of this name."""
    return Trial(name, "dpo", {}, {})


def spent(finals: bool) -> Event:
    """A bound of the budget is reached."""
    return {"event": "spent", "time": 25.0, "reason": "spent", "finals": finals, "hours": 1, "gpu_hours": 0, "judgments": 1, "cost": 0.0}


def two_trials(status: str) -> list[Event]:
    """Two trials were scored and ended."""
    told = [joined(trial("001")), joined(trial("002")), scored("001", 10, 60.0), scored("002", 10, 55.0)]
    return [began(), *told, ended("001", status), ended("002", status)]


def of_grid(trials: int) -> dict[str, Any]:
    """The settings of a search over a grid of two settings."""
    given = {
        "model": {"base": "m"},
        "data": {"train": "t.jsonl"},
        "evaluation": {"prompts": "p.jsonl"},
        "judge": {"kind": "verifier"},
        "search": {
            "methods": ["dpo"],
            "searcher": "grid",
            "trials": trials,
            "space": {"dpo": {"beta": {"options": [0.1, 0.2]}}},
        },
    }
    return Settings.model_validate(given).json_ready()


def test_a_search_that_its_budget_ended_is_over_whatever_was_planned() -> None:
    events = [*two_trials("stopped"), spent(finals=False)]
    assert phase_of(Events(two_trials("stopped")), FOUR) == "searching"
    assert phase_of(Events(events), FOUR) == "finished"
    assert phase_of(Events(events), WITH_FINALS) == "about to play the finals"
    resumed = [*events, began(time=100.0), joined(trial("003"))]
    assert phase_of(Events(resumed), FOUR) == phase_of(Events(resumed), WITH_FINALS) == "searching"


def test_a_search_is_over_when_all_samples_that_there_are_were_tried() -> None:
    few = of_grid(trials=20)
    assert trials_planned(few) == 2
    assert phase_of(Events(two_trials("completed")[:-1]), few) == "searching"
    assert phase_of(Events(two_trials("completed")), few) == "finished"
    assert progress(Events(two_trials("completed")), "d", {**few, "name": "mine"}).wanted == 2


@pytest.mark.parametrize("unknown", [{}, {"search": {"trials": 4}}, {"search": {"trials": 4, "methods": ["gone:Mine"]}}])
def test_settings_that_are_not_whole_plan_what_they_say(unknown: dict[str, Any]) -> None:
    assert trials_planned(unknown) == (4 if unknown else None)


def test_a_run_that_another_took_the_place_of_is_no_trial_that_is_over() -> None:
    names = [f"00{number}" for number in (1, 2, 3, 4)]
    events = [began(), *(joined(trial(name)) for name in names), *(scored(name, 10, 50.0) for name in names)]
    for old, new in (("001", "001@2"), ("002", "002@2"), ("001@2", "001@3"), ("002@2", "002@3")):
        events += [joined(trial(new), parent="004", from_step=10), ended(old, "stopped"), scored(new, 20, 52.0)]
    assert phase_of(Events(events), FOUR) == "searching"
    found = projected(Events(events), 4, 100.0)
    assert (found.joined, found.over) == (4, 0)
    assert sum(progress(Events(events), "d", FOUR).trials.values()) == 4
    for name in ("001@3", "002@3", "003", "004"):
        events.append(ended(name, "completed"))
    assert phase_of(Events(events), FOUR) == "finished"


def test_a_search_that_goes_on_after_its_finals_is_searching_and_plays_them_again() -> None:
    finals = {"event": "finals", "time": 30.0}
    played = [held_out(name, verdicts(1.0, 0.0, 1.0)) for name in ("001", "002")]
    first = [*two_trials("stopped"), spent(finals=False), finals]
    assert phase_of(Events(first), WITH_FINALS) == "in the finals"
    assert phase_of(Events([*first, *played]), WITH_FINALS) == phase_of(Events([*first, spent(finals=True)]), WITH_FINALS) == "finished"
    more = [began(time=100.0), joined(trial("003")), attempted("003", time=110.0)]
    again = [*first, *played, spent(finals=True), *more]
    assert phase_of(Events(again), WITH_FINALS) == "searching"
    assert not projected(Events(again), 4, 120.0).in_finals
    third = [scored("003", 10, 70.0), ended("003", "completed"), {**finals, "time": 130.0}]
    assert phase_of(Events([*again, *third]), WITH_FINALS) == "in the finals"
    assert phase_of(Events([*again, *third, held_out("003", verdicts(1.0, 0.0, 1.0))]), WITH_FINALS) == "finished"
    unreadable = {"event": "unreadable", "time": 90.0, "trial": "003", "seed": 0, "run": "003", "asked": 3, "cost": 0.0}
    assert phase_of(Events([*again, *third, unreadable]), WITH_FINALS) == "finished"


def test_capability_is_measured_when_the_base_model_and_these_finalists_were_asked() -> None:
    asked = {**FOUR, "finals": {"finalists": 1, "seeds": 1, "capability": {"tasks": ["sums"]}}}
    events = [*two_trials("completed"), {"event": "finals", "time": 30.0}, capability("base", 0.5), capability("002", 0.5)]
    assert phase_of(Events(events), asked) == "in the finals"
    assert phase_of(Events([*events, capability("001", 0.5)]), asked) == "finished"
    ended = {"event": "unmeasured", "time": 40.0, "trial": "001", "checkpoint": "m", "reason": "answered none of the questions"}
    assert phase_of(Events([*events, ended]), asked) == "finished"
    assert phase_of(Events([*events, ended, began(50.0), {"event": "finals", "time": 51.0}]), asked) == "in the finals"

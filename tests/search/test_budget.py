"""What a search has spent is counted once, over all of its sessions, and what it saved is told against doing everything."""

import math
from dataclasses import replace

import pytest

from orchestrator.search.budget import Meter, Saved, Spent, exhausted, kept_back, saved
from orchestrator.search.ledger import Event, Events
from orchestrator.search.trial import Trial
from orchestrator.settings import BudgetSettings
from tests.search import events as made

HOUR = 3600.0
DPO, IPO = (Trial(name, name, {}, {}) for name in ("dpo", "ipo"))
RUN = Trial("dpo-seed1", "dpo", {}, {"seed": 1})


def at(hours: float, event: Event) -> Event:
    """The same event at another time."""
    return {**event, "time": hours * HOUR}


def judged(trial: str, step: int, prompts: int, cost: float = 0.0) -> Event:
    """A checkpoint was scored on so many prompts, two of them unreadable."""
    return made.scored(trial, step, 50.0, scorecard=made.scorecard(50.0, judged=prompts - 2, unreadable=2, cost=cost))


def test_time_runs_from_the_beginning_of_a_session_until_asked_on_all_gpus_that_are_held() -> None:
    assert Meter([at(1, made.began(gpus=8))]).spent(1.5 * HOUR) == Spent(hours=0.5, gpu_hours=4.0)
    assert Meter().spent(5 * HOUR) == Spent()


def test_gpus_of_a_worker_group_that_joins_later_count_from_its_first_trial() -> None:
    plan = {"gpus": 10.0, "gangs": 4, "first_gpus": 4.0, "first_gangs": 1}
    begun = [at(1, {**made.began(), **plan}), at(1, made.attempted("dpo", gang="gang-2")), at(2, made.attempted("ipo", gang="gang-2"))]
    assert Meter(begun).spent(3 * HOUR) == Spent(hours=2, gpu_hours=8)
    meter = Meter([*begun, at(3, made.attempted("kto", gang="gang-0")), at(4, made.attempted("cpo", gang="gang-0"))])
    assert (meter.gangs, meter.gpus, meter.spent(5 * HOUR)) == (2, 6.0, Spent(hours=4, gpu_hours=8 + 12))
    all_joined = Meter([*begun, *(at(3, made.attempted(f"dpo-{name}", gang=f"gang-{name}")) for name in range(4))])
    assert (all_joined.gangs, all_joined.gpus) == (4, 10.0)
    meter.add(at(6, {**made.began(), **plan}))
    assert (meter.gangs, meter.gpus) == (1, 4.0)


def test_what_passes_between_two_sessions_is_not_spent() -> None:
    events = [at(1, made.began(gpus=8)), at(2, made.joined(DPO)), at(10, made.began(gpus=2)), at(11, made.joined(IPO))]
    assert Meter(events).spent(13 * HOUR) == Spent(hours=1 + 3, gpu_hours=8 + 6)


def test_a_meter_taken_up_from_the_ledger_by_a_restarted_process_equals_one_that_lived_through_it() -> None:
    events = [
        at(1, made.began(gpus=2)),
        at(1, made.attempted("dpo")),
        at(2, judged("dpo", 10, 25, 0.1)),
        at(3, judged("dpo", 10, 100, 0.4)),
        at(4, made.trained("dpo")),
        at(5, judged("dpo", 20, 100, 0.4)),
    ]
    lived = Meter()
    for number, event in enumerate(events, 1):
        lived.add(event)
        taken_up = Meter(events[:number])
        assert taken_up.spent(6 * HOUR) == lived.spent(6 * HOUR)
        assert taken_up.training_hours == lived.training_hours
    assert lived.spent(6 * HOUR) == Spent(5.0, 10.0, 200, 0.8)


def test_the_rungs_of_a_checkpoint_are_counted_once() -> None:
    events = [judged("dpo", 10, 25, 1.0), judged("dpo", 10, 50, 2.0), judged("dpo", 20, 50, 2.0), judged("ipo", 10, 25, 1.0)]
    assert Meter(events).spent(0.0) == Spent(judgments=50 + 50 + 25, cost=5.0)


def test_a_vetoed_score_and_the_base_models_cost_as_any_other() -> None:
    vetoed = {**judged("dpo", 10, 50, 2.0), "event": "veto"}
    assert Meter([made.baseline(), judged("dpo", 10, 25, 1.0), vetoed]).spent(0.0) == Spent(judgments=102 + 50, cost=2.0)


def test_every_seed_of_every_finalist_is_counted() -> None:
    held = [made.held_out(name, made.verdicts(1.0, None, 0.0), seed, cost=0.5) for name in ("dpo", "ipo") for seed in (0, 1, 2)]
    assert Meter([judged("dpo", 10, 25), *held]).spent(0.0) == Spent(judgments=25 + 6 * 3, cost=3.0)


def test_the_longest_training_is_known_and_a_gap_between_sessions_is_no_training() -> None:
    events = [at(1, made.began()), at(1, made.attempted("dpo")), at(1.5, made.trained("dpo")), at(2, made.attempted("ipo"))]
    assert Meter(events).training_hours == 0.5
    after_a_gap = [*events, at(20, made.began()), at(20.1, made.trained("ipo"))]
    assert Meter(after_a_gap).training_hours == 0.5
    begun_again = [*events, at(20, made.began()), at(20, made.attempted("ipo", 2)), at(21, made.trained("ipo"))]
    assert Meter(begun_again).training_hours == 1.0


def test_the_finals_are_expected_to_take_what_trainings_and_verdicts_took_so_far() -> None:
    meter = Meter([at(1, made.began(gpus=4)), at(1, made.attempted("dpo")), at(1.5, made.trained("dpo")), judged("dpo", 10, 100, 2.0)])
    assert kept_back(meter, runs=4, judgments=1000) == Spent(hours=2.0, gpu_hours=8.0, judgments=1000, cost=20.0)
    assert kept_back(meter, runs=4, judgments=1000, price=2.5) == Spent(hours=2.0, gpu_hours=8.0, judgments=1000, cost=50.0)
    assert kept_back(Meter(), runs=4, judgments=1000) == Spent(judgments=1000)
    side_by_side = Meter([at(1, {**made.began(gpus=4), "gangs": 3}), at(1, made.attempted("dpo")), at(1.5, made.trained("dpo"))])
    assert kept_back(side_by_side, runs=4, judgments=0) == Spent(hours=1.0, gpu_hours=4.0)


def test_a_resumed_search_keeps_back_what_it_did_before_its_worker_groups_have_joined_again() -> None:
    begun = {**made.began(), "gpus": 32.0, "first_gpus": 8.0, "gangs": 4, "first_gangs": 1}
    groups = [f"gang-{number}" for number in range(4)]
    meter = Meter([at(1, begun), *(at(1, made.attempted(gang, gang=gang)) for gang in groups)])
    for gang in groups:
        meter.add(at(3, made.trained(gang, gang)))
    before = kept_back(meter, runs=8, judgments=0)
    assert before == Spent(hours=4.0, gpu_hours=128.0)
    meter.add(at(20, begun))
    assert kept_back(meter, runs=8, judgments=0) == before
    assert (meter.gangs, meter.gpus) == (1, 8.0), "what is held and spent is that of the groups that are there"
    for gang in groups:
        meter.add(at(21, made.attempted(f"{gang}-more", gang=gang)))
    assert kept_back(meter, runs=8, judgments=0) == before
    meter.add(at(30, {**begun, "gpus": 16.0, "gangs": 2}))
    assert kept_back(meter, runs=8, judgments=0) == Spent(hours=8.0, gpu_hours=128.0), "no more than two may come"


@pytest.mark.parametrize(
    ("bound", "within", "beyond", "words"),
    [
        ({"gpu_hours": 16.0}, Spent(gpu_hours=16.0), Spent(gpu_hours=16.1), "the budget of 16 GPU-hours is spent"),
        ({"hours": 2.5}, Spent(hours=2.5), Spent(hours=2.6), "the budget of 2.5 hours is spent"),
        ({"judgments": 5000}, Spent(judgments=5000), Spent(judgments=5001), "the budget of 5,000 judgments is spent"),
        ({"cost": 10.0}, Spent(cost=10.0), Spent(cost=10.01), "the budget of 10 of the judge's cost is spent"),
    ],
)
def test_a_bound_may_be_reached_and_not_overstepped(bound: dict[str, float], within: Spent, beyond: Spent, words: str) -> None:
    budget = BudgetSettings.model_validate(bound)
    assert exhausted(budget, within) is None
    assert exhausted(budget, beyond) == words


def test_without_bounds_everything_may_be_spent() -> None:
    assert exhausted(BudgetSettings(), Spent(1e9, 1e9, 10**9, 1e9)) is None


def test_a_cost_that_is_no_number_is_within_no_bound() -> None:
    assert exhausted(BudgetSettings(cost=1.0), Spent(cost=math.nan)) == "the budget of 1 of the judge's cost is spent"
    assert exhausted(BudgetSettings(judgments=1), Spent(cost=math.nan)) is None


def test_a_large_budget_is_written_out() -> None:
    assert exhausted(BudgetSettings(judgments=2_500_000), Spent(judgments=2_500_001)) == "the budget of 2,500,000 judgments is spent"


def test_what_was_saved_is_told_against_every_checkpoint_of_every_trial_on_all_prompts() -> None:
    events = [
        made.began(checkpoints=2, prompts=100),
        made.baseline(),
        *(made.joined(each) for each in (DPO, IPO)),
        *(made.saved("dpo", step) for step in (10, 20)),
        *(judged("dpo", step, prompts) for step, prompts in ((10, 25), (10, 50), (20, 100))),
        made.saved("ipo", 10),
        judged("ipo", 10, 50),
    ]
    assert saved(Events(events)) == Saved(judgments=1 - 200 / 400, checkpoints=1 - 3 / 4)


def test_the_finals_save_nothing_and_cost_the_search_nothing_of_what_it_saved() -> None:
    events = [made.began(), made.joined(DPO), made.saved("dpo", 10), judged("dpo", 10, 50)]
    unread = {"event": "unreadable", "time": 0.0, "trial": "dpo", "seed": 2, "run": "other", "asked": 90, "cost": 0.0}
    finals = [made.joined(RUN, 10, "dpo"), made.saved(RUN.id, 10), made.held_out("dpo", made.verdicts(1.0, 0.0), 1), unread]
    assert saved(Events([*events, *finals])) == saved(Events(events)) == Saved(0.75, 0.5)


def test_before_a_search_began_nothing_is_saved() -> None:
    assert saved(Events()) is None
    assert saved(Events([made.began()])) == Saved(1.0, 1.0)


def test_a_training_with_pauses_takes_as_long_as_worker_groups_were_busy_with_it() -> None:
    events = [at(1, made.began()), at(1, made.attempted("dpo")), at(2, made.trained("dpo")), at(9, made.attempted("dpo", 2))]
    assert Meter([*events, at(9.5, made.trained("dpo"))]).training_hours == 1.5


def test_a_run_that_takes_the_place_of_another_counts_as_no_further_trial_of_what_was_saved() -> None:
    run = replace(DPO, id="dpo@2")
    events = [
        made.began(checkpoints=2, prompts=100),
        *(made.joined(each) for each in (DPO, IPO)),
        made.joined(run, parent="ipo", from_step=10),
    ]
    events += [made.saved(name, 10) for name in ("dpo", "ipo")] + [made.saved(run.id, 20)]
    found = saved(Events(events))
    assert found is not None and found.checkpoints == 1 - 3 / 4

"""The ranking is recomputed from events alone; what was not scored is last and has no number."""

import pytest

from orchestrator.search.leaderboard import BASE, Row, latest_scores, leaderboard, winner
from orchestrator.search.ledger import Event, Events
from orchestrator.search.trial import Trial
from tests.search import events as made

DPO, IPO, SIMPO, RPO = (Trial(name, name, {"beta": 0.1}, {"learning_rate": 1e-6}) for name in ("dpo", "ipo", "simpo", "rpo_bwd"))
EVENTS: list[Event] = [
    made.baseline(),
    *map(made.joined, (DPO, IPO, SIMPO, RPO)),
    made.attempted("dpo", time=10.0),
    made.saved("dpo", 10),
    made.scored("dpo", 10, 61.0, time=20.0),
    made.saved("dpo", 20),
    made.scored("dpo", 20, 58.0, time=30.0),
    made.ended("dpo", "completed", time=32.5),
    made.attempted("ipo"),
    made.saved("ipo", 10),
    made.scored("ipo", 10, 44.0),
    made.ended("ipo", "stopped"),
    made.attempted("simpo"),
    made.ended("simpo", "failed", "the loss is not a number"),
]


def rows(events: list[Event] = EVENTS) -> dict[str, Row]:
    """The leaderboard by trial, in its order."""
    return {row.trial: row for row in leaderboard(Events(events))}


def test_trials_are_ranked_by_their_best_checkpoint_with_the_base_model_among_them() -> None:
    assert list(rows()) == ["dpo", BASE, "ipo", "simpo", "rpo_bwd"]


def test_a_row_stands_at_the_best_checkpoint_and_tells_the_last_step_that_was_scored() -> None:
    dpo = rows()["dpo"]
    assert (dpo.win_rate, dpo.low, dpo.high, dpo.judged, dpo.unreadable, dpo.mean_length) == (61.0, 56.0, 66.0, 100, 2, 80.0)
    assert (dpo.step, dpo.stopped_at, dpo.checkpoint, dpo.status) == (10, 20, "dpo/10/model", "completed")
    assert dpo.hyperparameters == DPO.described()


def test_the_later_of_two_equal_checkpoints_stands() -> None:
    assert rows([*EVENTS, made.scored("dpo", 30, 61.0)])["dpo"].step == 30


def test_seconds_run_from_the_first_attempt_to_the_end() -> None:
    assert rows()["dpo"].seconds == 22.5
    assert rows()["rpo_bwd"].seconds is None


def test_the_base_model_has_a_row_of_its_own() -> None:
    base = rows()[BASE]
    assert (base.win_rate, base.step, base.status, base.checkpoint) == (50.0, 0, "baseline", "base-model")


@pytest.mark.parametrize(("trial", "status", "reason"), [("simpo", "failed", "the loss is not a number"), ("rpo_bwd", "waiting", "")])
def test_what_was_not_scored_is_last_and_never_zero(trial: str, status: str, reason: str) -> None:
    row = rows()[trial]
    assert (row.win_rate, row.low, row.high, row.step, row.checkpoint) == (None,) * 5
    assert (row.status, row.reason) == (status, reason)
    assert list(rows()).index(trial) > 2


def test_a_win_rate_of_zero_is_a_score() -> None:
    worst = rows([*EVENTS, made.scored("rpo_bwd", 10, 0.0)])
    assert list(worst) == ["dpo", BASE, "ipo", "rpo_bwd", "simpo"]
    assert worst["rpo_bwd"].win_rate == 0.0


def test_the_winner_is_the_best_trial_and_never_the_base_model() -> None:
    best = winner(leaderboard(Events(EVENTS)))
    assert best is not None and best.trial == "dpo"
    worse = winner(leaderboard(Events(event for event in EVENTS if event.get("trial") != "dpo")))
    assert worse is not None and worse.trial == "ipo"


def test_nobody_wins_when_no_trial_was_scored() -> None:
    assert winner(leaderboard(Events([made.baseline(), made.joined(DPO)]))) is None
    assert leaderboard(Events()) == []


def test_runs_of_the_finals_are_no_trials_of_the_search() -> None:
    run = Trial("dpo-seed1", "dpo", {"beta": 0.1}, {"seed": 1})
    played = [made.joined(run, 10, "dpo"), made.attempted(run.id), made.saved(run.id, 10), made.ended(run.id, "completed")]
    assert rows([*EVENTS, *played, made.held_out("dpo", made.verdicts(1.0, 0.0))]) == rows()


def test_who_was_asked_more_prompts_stands_above_who_did_better_on_fewer() -> None:
    few = made.scored("rpo_bwd", 10, 90.0, scorecard=made.scorecard(90.0, judged=20), whole=False)
    assert list(rows([*EVENTS, few])) == ["dpo", BASE, "ipo", "rpo_bwd", "simpo"]


def test_a_censored_trial_keeps_the_score_it_had_and_says_why_it_ended() -> None:
    found = rows([*EVENTS, made.scored("rpo_bwd", 10, 70.0), made.ended("rpo_bwd", "censored", "vetoed at step 20: empty answers")])
    assert (found["rpo_bwd"].win_rate, found["rpo_bwd"].status) == (70.0, "censored")
    assert found["rpo_bwd"].reason == "vetoed at step 20: empty answers"


def test_a_learning_curve_is_a_trials_own_scores_by_step() -> None:
    found = latest_scores(Events([made.scored("dpo", 30, 40.0), *EVENTS]))
    curves = {trial: [(step, by_step[step]["scorecard"]["win_rate"]) for step in sorted(by_step)] for trial, by_step in found.items()}
    assert curves == {"dpo": [(10, 61.0), (20, 58.0), (30, 40.0)], "ipo": [(10, 44.0)]}


def test_seconds_without_workers_during_a_pause_do_not_count() -> None:
    waited = [made.joined(SIMPO), made.attempted("simpo", time=10.0), made.paused("simpo", 10, time=14.0), made.scored("simpo", 10, 50.0)]
    assert rows(waited)["simpo"].seconds == 4.0
    again = [made.resumed("simpo", time=50.0), made.attempted("simpo", 2, time=60.0), made.ended("simpo", "completed", time=61.0)]
    assert rows([*waited, *again])["simpo"].seconds == 5.0


def test_a_run_that_took_up_anothers_training_has_a_row_with_its_own_hyperparameters() -> None:
    run = Trial("simpo@2", "simpo", {"beta": 0.1}, {"learning_rate": 2e-6})
    found = rows([*EVENTS, made.joined(run, parent="dpo", from_step=10), made.scored("simpo@2", 20, 70.0)])
    assert found["simpo@2"].hyperparameters == {"beta": 0.1, "learning_rate": 2e-6}

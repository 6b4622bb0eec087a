"""Who leaves a race, and who must not."""

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from statistics import stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.anytime import upper_bound
from orchestrator.search.racing import (
    GO_ON,
    Decision,
    Race,
    Rules,
    Rung,
    Scores,
    compare,
    differences,
    last_rungs,
    mean_of,
    nested_order,
    rungs,
    standard_error,
)

SURE = Rules(rungs(2, 400), trials=5, doubt=math.inf)
RUNG = Rung(2, 400)


def decide(standings: Mapping[str, Scores], trial: str, rung: Rung, rules: Rules) -> Decision:
    """What a race decides, from all trials' scores at a checkpoint at once, those dropped included."""
    means = {name: mean for name, scores in standings.items() if (mean := mean_of(scores, rung.prompts)) is not None}
    if trial not in means:
        return GO_ON
    leader = max((name for name in means if name != trial), key=means.__getitem__, default=None)
    if leader is None:
        return GO_ON
    return compare(standings[trial], leader, standings[leader], rung, rules) if means[leader] > means[trial] else GO_ON


def verdicts(win_rate: float, count: int = 400, seed: int = 0) -> list[float | None]:
    """Wins and losses; trials of one seed share what makes a prompt easy."""
    easy = random.Random(seed)
    return [1.0 if easy.random() < win_rate else 0.0 for _ in range(count)]


def decided(trial: Scores, leader: Scores, rules: Rules = SURE, rung: Rung = RUNG) -> str:
    decision = decide({"trial": trial, "leader": leader, "other": verdicts(0.3)}, "trial", rung, rules)
    assert decision.goes_on == (decision.reason == "")
    return decision.reason


def test_a_trial_far_behind_the_leader_is_dropped_as_surely_worse_with_the_figures() -> None:
    reason = decided(verdicts(0.4), verdicts(0.6))
    assert reason.startswith("surely worse than leader: behind by ")
    assert "on 400 prompts at checkpoint 2" in reason


def test_equal_trials_and_the_leader_itself_go_on() -> None:
    assert decided(verdicts(0.5), verdicts(0.5, seed=1)) == ""
    assert decided(verdicts(0.7), verdicts(0.5)) == ""


def test_what_is_behind_by_less_than_the_margin_is_not_dropped() -> None:
    behind = (verdicts(0.4), verdicts(0.6))
    assert decided(*behind, Rules(SURE.rungs, 5, margin=10.0, doubt=math.inf)) != ""
    assert decided(*behind, Rules(SURE.rungs, 5, margin=25.0, doubt=math.inf)) == ""


def test_more_trials_and_more_checkpoints_ask_for_more_evidence() -> None:
    assert Rules(SURE.rungs, 50).error_share < SURE.error_share < Rules(SURE.rungs[:1], 5).error_share
    assert SURE.error_share == pytest.approx(0.05 / (2 * 4))


def test_doubt_sets_aside_what_is_probably_worse_and_says_so() -> None:
    close = (verdicts(0.5), verdicts(0.58, seed=3))
    assert decided(*close) == ""
    assert decided(*close, Rules(SURE.rungs, 5, doubt=1.0)).startswith("set aside: behind leader by ")


def test_the_more_trials_meet_at_the_first_rung_the_luckier_is_its_leader_and_the_more_it_takes_to_be_set_aside() -> None:
    few, many, most = (Rules(rungs(2, 400), trials) for trials in (16, 1_000, 10_000))
    first, second = few.rungs[:2]
    assert Rules(few.rungs, 2).doubt_at(first) == few.doubt_at(first) == few.doubt
    assert few.doubt < Rules(few.rungs, 60).doubt_at(first) < few.doubt + 0.4
    assert many.doubt_at(first) < most.doubt_at(first) < few.doubt + 1.5
    assert most.doubt_at(second) == most.doubt
    assert Rules(few.rungs, 1_000, doubt=math.inf).doubt_at(first) == math.inf
    # Behind by 2.5 standard errors.
    behind = (verdicts(0.3, first.prompts), verdicts(0.5, first.prompts))
    assert decided(*behind, few, first).startswith("set aside")
    assert decided(*behind, most, first) == ""


def test_a_pair_is_compared_only_where_both_verdicts_are_readable() -> None:
    leader = verdicts(0.9)
    unread: list[float | None] = [None if score == 0 else score for score in verdicts(0.4)]
    assert decided(unread, leader) == ""
    assert decided([None] * 400, leader) == ""


def test_only_trials_with_as_many_prompts_are_rivals() -> None:
    standings = {"trial": verdicts(0.2, 400), "leader": verdicts(0.9, 100)}
    assert decide(standings, "trial", RUNG, SURE).goes_on
    assert not decide(standings, "trial", Rung(2, 100), SURE).goes_on


def test_the_first_trial_has_nobody_to_be_behind() -> None:
    assert decide({"trial": verdicts(0.0)}, "trial", RUNG, SURE).goes_on


@pytest.mark.parametrize(("lost", "goes_on"), [(1, True), (2, True), (3, False), (6, False)])
def test_one_or_two_prompts_on_which_two_trials_differ_set_none_aside(lost: int, goes_on: bool) -> None:
    leader = [0.5] * 67
    trial = [0.0] * lost + leader[lost:]
    decision = compare(trial, "leader", leader, Rung(2, 67), Rules(SURE.rungs, 5, doubt=1.0))
    assert decision.goes_on == goes_on


def test_the_standard_error_of_many_differences_is_the_usual_one() -> None:
    drawn = random.Random(1)
    found = [drawn.choice((-1.0, 0.0, 0.5, 1.0)) for _ in range(2_000)]
    assert standard_error(found) == pytest.approx(stdev(found) / 2_000**0.5, rel=2e-3)


@pytest.mark.parametrize("doubt", [math.inf, 1.0])
def test_a_race_decides_whatever_order_trials_come_in_as_on_all_scores_at_once(doubt: float) -> None:
    chance = random.Random(7)
    rules = Rules(rungs(2, 201), trials=12, doubt=doubt)
    race, standings, over, reasons = Race(rules), {rung.checkpoint: {} for rung in rules.rungs}, set[int](), list[str]()
    whole: dict[tuple[int, int], list[float | None]] = {
        (trial, point): [None if chance.random() < 0.02 else score for score in verdicts(0.3 + 0.03 * trial, 201, seed=trial % 3)]
        for trial in range(12)
        for point in standings
    }
    ahead = {trial: iter(rules.rungs) for trial in range(12)}
    while ahead:
        trial = chance.choice(sorted(ahead))
        rung = next(ahead[trial], None)
        if rung is None or trial in over:
            del ahead[trial]
            continue
        scores = whole[trial, rung.checkpoint][: rung.prompts]
        standings[rung.checkpoint][f"{trial}"] = scores
        decision = race.add(f"{trial}", rung, scores)
        assert decision == decide(standings[rung.checkpoint], f"{trial}", rung, rules)
        assert race.add(f"{trial}", rung, scores) == decision
        over |= set() if decision.goes_on else {trial}
        reasons.append(decision.reason)
    assert any(reasons)


@given(st.integers(1, 1000), st.integers(1, 6), st.floats(1, 4))
def test_the_last_checkpoint_is_scored_on_all_prompts_and_none_on_more_than_the_next(prompts: int, steps: int, growth: float) -> None:
    laid = rungs(steps, prompts, growth)
    ends = [max(rung.prompts for rung in laid if rung.checkpoint == step) for step in range(1, steps + 1)]
    assert ends == sorted(ends)
    assert ends[-1] == prompts
    assert list(laid) == sorted(set(laid), key=lambda rung: (rung.checkpoint, rung.prompts))


def test_rungs_grow_from_few_prompts_to_all() -> None:
    assert [(rung.checkpoint, rung.prompts) for rung in rungs(3, 200)] == [(1, 25), (1, 50), (2, 50), (2, 100), (3, 100), (3, 200)]
    assert [(rung.checkpoint, rung.prompts) for rung in rungs(2, 200, growth=1)] == [(1, 200), (2, 200)]
    assert last_rungs(rungs(3, 200)) == (Rung(1, 50), Rung(2, 100), Rung(3, 200))


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_every_beginning_of_the_order_has_each_stratum_in_its_share(strata: list[str], seed: int) -> None:
    order = nested_order(strata, seed)
    assert sorted(order) == list(range(len(strata)))
    shares = Counter(strata)
    for count in range(1, len(order) + 1):
        found = Counter(strata[number] for number in order[:count])
        for stratum, size in shares.items():
            assert abs(found[stratum] - count * size / len(strata)) <= len(shares)


def test_the_order_is_random_within_a_stratum_and_the_same_for_one_seed() -> None:
    strata = ["a"] * 50
    assert nested_order(strata, 0) == nested_order(strata, 0) != nested_order(strata, 1)
    assert nested_order(strata, 0) != list(range(50))


def test_a_trial_that_is_surely_worse_is_told_by_how_much_and_than_which() -> None:
    trial, leader = verdicts(0.3, seed=1), verdicts(0.7, seed=2)
    found = np.array(trial) - np.array(leader)
    least = -100 * upper_bound(found, SURE.error_share)
    expected = f"surely worse than leader: behind by {-100 * found.mean():.1f} points, at least {least:.1f}, on 400 prompts at checkpoint 2"
    assert compare(trial, "leader", leader, RUNG, SURE) == Decision(False, expected, "leader")


def test_a_trial_is_set_aside_when_it_is_further_behind_than_the_margin_and_the_doubt_and_not_before() -> None:
    trial, leader = verdicts(0.48, seed=3), verdicts(0.52, seed=3)
    found = np.array(trial) - np.array(leader)
    behind, error = -100 * found.mean(), 100 * math.sqrt((((found**2).sum() + 1) / 402 - (found.sum() / 402) ** 2) / 402)
    plain = Rules(rungs(2, 400), trials=5, doubt=1.0)
    edge = behind - plain.doubt_at(RUNG) * error
    assert behind > 0 and compare(trial, "leader", leader, RUNG, replace(plain, margin=edge + 0.01)) == GO_ON
    reason = f"set aside: behind leader by {behind:.1f} points, standard error {error:.1f}, on 400 prompts at checkpoint 2"
    assert compare(trial, "leader", leader, RUNG, replace(plain, margin=edge - 0.01)) == Decision(False, reason, "leader")


def test_unreadable_verdicts_are_left_out_of_means_and_differences() -> None:
    assert mean_of([1.0, None, 0.0, 1.0], 4) == pytest.approx(2 / 3)
    assert mean_of([1.0, None, 0.0, 1.0], 2) == 1.0
    assert mean_of([None, None], 2) is None
    assert differences([1.0, None, 0.0, 0.5], [0.5, 1.0, None, 0.5], 4) == [0.5, 0.0]

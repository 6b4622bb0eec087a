"""Who gets the next trial: as many for each method, or more for the promising ones, without forgetting anybody."""

from math import log

import pytest

from orchestrator.search.allocation import Allocation, Arm, next_method, shares, uneven


def played(allocation: Allocation, win_rates: dict[str, float], trials: int) -> list[str]:
    """Whose turn it was, when every trial of a method has the same win rate and ends before the next one starts."""
    arms = {method: Arm(method) for method in win_rates}
    turns = []
    for _ in range(trials):
        method = next_method(allocation, list(arms.values()))
        arms[method] = arms[method].with_trial().with_win_rate(win_rates[method])
        turns.append(method)
    return turns


def bound(arm: Arm, total: int) -> float:
    """The paper's upper bound, with its alpha of 0.5 for rewards between 0 and 1."""
    assert arm.best is not None
    return arm.best / 100 + (0.5 * log(total) / arm.trials) ** 2


def test_equal_gives_every_method_as_many_trials_in_order_whatever_they_score() -> None:
    assert played("equal", {"dpo": 90, "ipo": 10, "simpo": 50}, 7) == ["dpo", "ipo", "simpo", "dpo", "ipo", "simpo", "dpo"]


def test_a_bandit_gives_every_method_one_trial_before_any_gets_a_second() -> None:
    assert played("bandit", {"dpo": 90, "ipo": 0, "simpo": 50}, 3) == ["dpo", "ipo", "simpo"]


def test_a_bandit_gives_most_trials_to_the_best_method_and_forgets_none() -> None:
    turns = played("bandit", {"dpo": 50, "ipo": 30, "simpo": 70, "orpo": 55}, 40)
    counts = {method: turns.count(method) for method in ("simpo", "orpo", "dpo", "ipo")}
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    assert counts["simpo"] > 20
    assert counts["ipo"] > 1


@pytest.mark.parametrize(("trials", "wanted"), [((3, 3, 1), "c"), ((3, 3, 4), "a"), ((9, 3, 4), "b")])
def test_a_bandit_follows_the_papers_bound(trials: tuple[int, int, int], wanted: str) -> None:
    arms = [Arm("a", trials[0], 60), Arm("b", trials[1], 50), Arm("c", trials[2], 40)]
    assert max(arms, key=lambda arm: bound(arm, sum(trials))).method == wanted
    assert next_method("bandit", arms) == wanted


def test_a_bandits_doubt_falls_with_the_square_of_the_trials() -> None:
    assert next_method("bandit", [Arm("a", 4, 60), Arm("b", 3, 55)]) == "a"
    assert next_method("bandit", [Arm("a", 9, 60), Arm("b", 3, 55)]) == "b"


def test_a_bandit_looks_at_the_best_trial_and_not_at_the_last() -> None:
    assert Arm("dpo").with_win_rate(60).with_win_rate(40).best == 60


def test_trials_that_still_run_count_so_that_a_bandit_does_not_start_all_at_the_same_method() -> None:
    arms = [Arm("dpo", 2, 50.0), Arm("ipo", 2, 49.9)]
    assert next_method("bandit", arms) == "dpo"
    assert next_method("bandit", [arms[0].with_trial(), arms[1]]) == "ipo"


def test_a_method_without_a_score_is_not_taken_for_one_that_never_wins() -> None:
    assert next_method("bandit", [Arm("dpo", 2, 50), Arm("ipo", 1, None)]) == "ipo"
    assert next_method("bandit", [Arm("dpo", 2, 50), Arm("ipo", 9, None)]) == "dpo"
    assert next_method("bandit", [Arm("dpo", 1, None), Arm("ipo", 1, None)]) == "dpo"


def test_trials_that_do_not_divide_give_the_first_methods_one_more() -> None:
    given = shares({"dpo": None, "ipo": None, "simpo": None}, 8)
    assert given == {"dpo": 3, "ipo": 3, "simpo": 2}
    assert uneven(given, 8) == "trials for each method: 3 for dpo, ipo; 2 for simpo"


def test_a_method_with_few_settings_leaves_its_trials_to_the_others() -> None:
    assert shares({"dpo": None, "sft": 1, "ipo": 3}, 10) == {"dpo": 6, "sft": 1, "ipo": 3}


def test_methods_that_get_no_trial_are_named() -> None:
    assert uneven(shares({"dpo": None, "ipo": None}, 1), 1) == "trials for each method: 1 for dpo; none for ipo"


def test_a_search_that_runs_out_of_settings_is_told() -> None:
    given = shares({"dpo": 4, "ipo": 3}, 10)
    assert uneven(given, 10) == "7 of the 10 trials use up all that there is to try: 4 for dpo; 3 for ipo"


def test_nothing_is_told_when_all_methods_get_the_same() -> None:
    assert uneven(shares({"dpo": None, "ipo": 3}, 6), 6) is None


def test_an_arm_counts_its_trials_one_by_one() -> None:
    assert Arm("dpo", 3, 60.0).with_trial() == Arm("dpo", 4, 60.0)

"""Numbers are written with their doubt, and an unknown number is never written as one."""

from dataclasses import replace

import pytest

from orchestrator.report import words
from orchestrator.search.budget import Saved, Spent
from orchestrator.search.leaderboard import BASE, Row
from orchestrator.search.verdict import Answer, Difference, Finalist


def test_a_win_rate_is_written_with_its_interval() -> None:
    assert words.win_rate(Row("001", "dpo", {}, win_rate=43.24, low=39.8, high=46.55)) == "43.2 (39.8–46.5)"


def test_a_win_rate_of_zero_is_written_and_an_absent_one_is_not_scored() -> None:
    assert words.win_rate(Row("001", "dpo", {}, win_rate=0.0, low=0.0, high=1.0)) == "0.0 (0.0–1.0)"
    assert words.win_rate(Row("001", "dpo", {})) == "not scored"


def test_a_length_is_written_with_the_share_of_answers_cut_off_where_some_were() -> None:
    assert [words.length(1234.4, share) for share in (None, 0.0, 0.0625)] == ["1,234", "1,234", "1,234 (6.2 % cut off)"]
    assert words.length(None, None) == ""


def test_hyperparameters_are_written_to_three_digits() -> None:
    values = {"beta": 0.123456, "learning_rate": 5e-07, "steps": 1234567, "precision": "bf16", "smooth": True}
    assert words.hyperparameters(values) == "beta=0.123 learning_rate=5e-07 steps=1234567 precision=bf16 smooth=True"
    assert words.hyperparameters({}) == ""


@pytest.mark.parametrize(
    ("p", "written"),
    [
        (0.0, "p < 0.001"),
        (1e-300, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0496, "p = 0.050"),
        (0.0123, "p = 0.012"),
        (0.1, "p = 0.10"),
        (0.456, "p = 0.46"),
        (1.0, "p = 1.00"),
    ],
)
def test_a_p_value_is_never_written_as_zero(p: float, written: str) -> None:
    assert words.p_value(p) == written


def finalist(trial: str, win_rate: float = 60.0, seeds: int = 2) -> Finalist:
    """A finalist named by its method, five points to either side."""
    return Finalist(trial, trial.split("-", maxsplit=1)[0], {}, win_rate, win_rate - 5, win_rate + 5, seeds, 400, "model")


REAL = Difference("simpo", BASE, 12.04, 7.0, 17.0, 0.00002, 5.0)
OPEN = Difference("simpo", "dpo", 2.0, -1.5, 5.5, 0.31, 4.2)
FOUND = Answer((finalist("simpo", 62.04), finalist("dpo"), finalist("ipo", 50.0)), (REAL, OPEN), True, 1.26)


def test_the_answer_tells_rate_prompts_and_seeds_then_each_difference_then_what_seeds_do() -> None:
    assert words.verdict(FOUND) == [
        "simpo wins 62.0 % (95 % 57.0–67.0) against the base model on 400 held-out prompts, averaged over 2 training seeds.",
        "It is better than the base model: +12.0 points (95 % +7.0 to +17.0; p < 0.001, corrected).",
        "It is not distinguishable from dpo (the best plain DPO and the runner-up): +2.0 points (95 % -1.5 to +5.5; p = 0.31, corrected);"
        " a true difference of 4.2 points would have shown four times out of five.",
        "Training seeds move a win rate by about 1.3 points (one standard deviation, judging from 3 further training runs).",
    ]


def test_a_best_that_loses_to_the_base_model_is_called_worse() -> None:
    worse = replace(FOUND, differences=(replace(REAL, difference=-8.0, low=-12.0, high=-4.0),))
    assert words.verdict(worse)[1] == "It is worse than the base model: -8.0 points (95 % -12.0 to -4.0; p < 0.001, corrected)."


def test_a_difference_that_is_found_although_its_interval_reaches_zero_says_why() -> None:
    near = replace(FOUND, differences=(replace(REAL, difference=0.7, low=-0.1, high=1.6, p=0.025),))
    assert words.verdict(near)[1] == (
        "It is better than the base model: +0.7 points (95 % -0.1 to +1.6; p = 0.025, corrected);"
        " the interval, which holds for all comparisons at once, just reaches zero."
    )


def test_the_runner_up_and_plain_dpo_are_told_apart() -> None:
    three = (finalist("simpo"), finalist("ipo"), finalist("dpo"))
    told = words.verdict(Answer(three, (OPEN, replace(OPEN, second="ipo")), True, None))
    assert told[1].startswith("It is not distinguishable from dpo (the best plain DPO): ")
    assert told[2].startswith("It is not distinguishable from ipo (the runner-up): ")


def test_a_best_that_is_plain_dpo_says_so_and_calls_no_other_the_best_plain_dpo() -> None:
    found = Answer((finalist("dpo-1"), finalist("dpo-2")), (replace(OPEN, first="dpo-1", second="dpo-2"),), True, None)
    told = words.verdict(found)
    assert told[1].startswith("It is not distinguishable from dpo-2 (the runner-up): ")
    assert "The best is plain DPO itself: no other method did better." in told


def test_a_single_finalist_under_one_seed_is_told_with_what_was_not_measured() -> None:
    told = words.verdict(Answer((finalist("simpo", seeds=1),), (REAL,), True, None))
    assert told[0].endswith("on 400 held-out prompts, trained with one seed.")
    assert told[-1] == "How much another training seed would change this was not measured: set finals.seeds to 2 or more."


def test_without_held_out_prompts_the_sentences_say_that_the_figure_flatters_and_what_to_set() -> None:
    told = words.verdict(Answer((finalist("simpo", seeds=1),), (REAL,), False, None))
    assert told[0].endswith("on 400 search prompts, trained with one seed.")
    assert told[1] == ("The search chose it on these same prompts, so expect less on others: set evaluation.held_out for a fresh estimate.")
    assert not any("finals.seeds" in sentence for sentence in told)


def test_seeds_that_add_nothing_to_be_seen_are_not_said_to_add_nothing() -> None:
    told = words.verdict(replace(FOUND, finalists=(finalist("simpo"), finalist("dpo", seeds=1)), seed_deviation=0.0))
    assert told[-1] == (
        "Training seeds move a win rate by no more than the noise of the prompts hides, judging from 1 further training run."
    )


def test_what_was_spent_and_saved_is_told_in_the_units_of_its_size() -> None:
    saved = Saved(judgments=0.634, checkpoints=0.4)
    assert words.economy(Spent(0.5, 4.0, 12345, 3.456), saved) == (
        "Spent: 12,345 judgments, 30.0 minutes, 4.0 GPU-hours, 3.46 paid to the judge. The search saved 63 % of the judgments and 40 % of"
        " the training that full runs of every trial, judged at every checkpoint on every prompt, would have taken."
    )
    assert words.economy(Spent(26.0, 0.0, 10), None) == "Spent: 10 judgments, 26.0 hours."

"""Averages equal the published ones on the real judgments; failed judgments are counted and in no average."""

import pytest

from evals.benchmarks.files import read_csv, read_rows
from evals.benchmarks.mt_bench import parse_rating, score_judgments, score_pairs
from evals.errors import DataFormatError, UnreadableVerdictsError
from tests.evals.benchmarks.official import DATA, needs_data

MT = DATA / "mt_bench"


def row(question: int, turn: int, score: float | None, model: str = "m") -> dict[str, object]:
    return {"question_id": question, "model": model, "judge": ["gpt-4", "single-v1"], "score": score, "turn": turn}


@needs_data
def test_the_published_averages_are_reproduced_to_two_decimals() -> None:
    found = {score.model: score for score in score_judgments(read_rows(MT / "gpt-4_single.jsonl.gz"))}
    for wanted in read_csv(MT / "scores.csv"):
        score = found[wanted["model"]]
        assert score.score == pytest.approx(float(wanted["average"]), abs=1e-9)
        assert score.details["turn1"] == pytest.approx(float(wanted["turn1"]))
        assert score.details["turn2"] == pytest.approx(float(wanted["turn2"]))
        assert wanted["published"] in {"", f"{score.score:.2f}"}
        assert 0.2 < score.standard_error < 0.37


@needs_data
def test_every_real_judgment_is_rated_as_the_official_tool_rates_it() -> None:
    rows = read_rows(MT / "gpt-4_single.jsonl.gz")
    assert len(rows) == 960
    assert all(parse_rating(judgment["judgment"]) == judgment["score"] for judgment in rows)


@pytest.mark.parametrize(
    ("text", "rating"), [("Rating: [[7]]", 7), ("[[6.5]] and [[9]]", 6.5), ("Rating: [8]", 8), ("[[x]]", None), ("eight", None)]
)
def test_the_first_rating_counts_and_none_is_unreadable(text: str, rating: float | None) -> None:
    assert parse_rating(text) == rating


def test_failed_judgments_are_counted_and_are_in_no_average() -> None:
    (found,) = score_judgments([row(81, 1, 8), row(81, 2, -1), row(91, 1, 6), row(91, 2, None)])
    assert (found.score, found.judged, found.unreadable) == (7.0, 2, 2)
    assert (found.details["writing"], found.details["roleplay"], found.details["math"]) == (8, 6, None)
    assert found.details["turn2"] is None
    with pytest.raises(UnreadableVerdictsError, match="none of 1 judgments of m"):
        score_judgments([row(81, 1, -1)])


def test_two_turns_of_a_question_are_not_independent() -> None:
    together = score_judgments([row(q, turn, 4 + q % 5) for q in range(81, 161) for turn in (1, 2)])[0]
    apart = score_judgments([row(q, 1, 4 + q % 5) for q in range(81, 161)])[0]
    assert together.standard_error == pytest.approx(apart.standard_error)


def test_a_row_that_is_no_judgment_is_refused() -> None:
    with pytest.raises(DataFormatError, match="row 1 has no `turn`"):
        score_judgments([{"question_id": 81, "model": "m", "score": 8}])


def test_ratings_that_are_all_alike_leave_a_doubt_about_the_questions_not_asked() -> None:
    (score,) = score_judgments([row(q, turn, 8) for q in range(81, 161) for turn in (1, 2)])
    assert score.score == 8
    assert 7 < score.low < 8 < score.high < 9


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("score", value) for value in ("9", 999, -2, float("nan"), True, [9], int("9" * 400))),
        *(("question_id", value) for value in ("81", None, [81])),
        *(("turn", value) for value in (3, "1", [1])),
        *(("model", value) for value in (7, None, ["m"])),
    ],
)
def test_a_value_that_no_judgment_has_is_refused_by_its_row(key: str, value: object) -> None:
    with pytest.raises(DataFormatError, match=f"row 2: `{key}` is .*, not ") as refused:
        score_judgments([row(81, 1, 8), {**row(82, 1, 8), key: value}])
    assert refused.value.cure


@pytest.mark.parametrize(("judge", "name"), [([], ""), (["gpt-4", "single-v1"], "gpt-4"), ("gpt-4", "gpt-4"), (None, "None")])
def test_a_judge_is_named_as_far_as_its_row_names_it(judge: object, name: str) -> None:
    assert score_judgments([{**row(81, 1, 8), "judge": judge}])[0].judge == name


@pytest.mark.parametrize(("key", "value"), [("g1_winner", "model_3"), ("g2_winner", ["tie"]), ("model_2", 1), ("question_id", "81")])
def test_a_value_that_no_comparison_has_is_refused_by_its_row(key: str, value: object) -> None:
    pair = {"question_id": 81, "model_1": "m", "model_2": "b", "g1_winner": "tie", "g2_winner": "model_1", "turn": 1}
    assert score_pairs([{**pair, "judge": []}])[0].judge == ""
    with pytest.raises(DataFormatError, match=f"row 1: `{key}` is "):
        score_pairs([{**pair, key: value}])

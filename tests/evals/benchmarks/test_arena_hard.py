"""Scores equal the official ones on the real verdicts; what cannot be read is counted and never crashes."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evals.benchmarks.arena_hard import BASELINES, parse_verdict, score_judgments
from evals.benchmarks.files import read_csv, read_rows
from evals.benchmarks.style_control import answer_style
from evals.errors import DataFormatError, UnreadableVerdictsError
from tests.evals.benchmarks.official import DATA, needs_data

ARENA = DATA / "arena_hard"


def judged(*games: Sequence[str | None], model: str = "m") -> list[dict[str, Any]]:
    """One question for each pair of labels."""
    return [{"uid": str(n), "model": model, "judge": "j", "games": [{"score": label} for label in pair]} for n, pair in enumerate(games)]


@needs_data
def test_the_official_scores_are_reproduced() -> None:
    found = {score.model: score for score in score_judgments(read_rows(ARENA / "judgments_v0.1.jsonl.gz"))}
    for row in read_csv(ARENA / "scores_v0.1.csv"):
        score = found[row["model"]]
        assert score.score == pytest.approx(float(row["score"]), abs=5e-5)
        assert (score.details["n_questions"], score.details["n_rows"]) == (int(row["n_questions"]), int(row["n_rows"]))
    assert f"{found['gpt-4-0613'].score:.2f}" == "37.90"
    assert f"{found['gpt-3.5-turbo-0125'].score:.2f}" == "23.34"
    assert found["gpt-4-0613"].standard_error == pytest.approx(2.02, abs=0.02)


@needs_data
def test_every_real_judgment_is_read_as_the_official_tool_reads_it() -> None:
    rows = read_rows(ARENA / "judgment_texts_v0.1.jsonl.gz")
    labels = {"A<B": "B>A", "A<<B": "B>>A", "A>>A": None}
    assert len(rows) == 2350
    for row in rows:
        assert parse_verdict(row["judgment"]) == labels.get(row["score"], row["score"])


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("so [[A>B]]", "A>B"),
        ("first [[A>B]], at last [[b>>a]]", "B>>A"),
        ("my verdict is [A=B]", "A=B"),
        ("[[A>>A]]", None),
        ("[[>]]", None),
        ("nothing", None),
        ("", None),
        ("[[A<B]]", "B>A"),
        ("[[B=A]]", "A=B"),
    ],
)
def test_the_last_label_is_the_verdict_and_an_unknown_one_is_unreadable(text: str, verdict: str | None) -> None:
    assert parse_verdict(text) == verdict


def test_seats_are_swapped_in_the_second_game_and_strong_verdicts_count_three_times() -> None:
    (found,) = score_judgments(judged(("B>>A", "A>B"), ("A>B", "A=B")))
    assert found.score == pytest.approx(100 * (3 + 1 + 0 + 0.5) / 6)
    assert found.details["n_rows"] == 6


def test_a_game_that_cannot_be_read_is_counted_and_the_other_is_kept() -> None:
    (found,) = score_judgments(judged(("B>A", None), ("A>>A", "B>A")))
    assert found.score == 50
    assert (found.judged, found.unreadable) == (2, 2)
    with pytest.raises(UnreadableVerdictsError, match="none of 2 games of m"):
        score_judgments(judged((None, None)))


def test_categories_and_models_have_scores_of_their_own() -> None:
    rows = judged(("B>A", "A>B")) + judged(("A>B", "B>A"), model="other")
    rows += [{**row, "category": "creative_writing"} for row in judged(("A=B", "A=B"))]
    assert [(score.model, score.details["category"], score.score) for score in score_judgments(rows)] == [
        ("m", "arena-hard-v0.1", 100.0),
        ("other", "arena-hard-v0.1", 0.0),
        ("m", "creative_writing", 50.0),
    ]


def test_questions_not_games_are_independent() -> None:
    once = score_judgments(judged(*[("B>A", "A=B"), ("A>B", "B>A"), ("B>A", "A>B"), ("A=B", "A=B")] * 5))[0]
    doubled = score_judgments(judged(*[("B>>A", "A=B"), ("A>>B", "B>>A"), ("B>>A", "A>>B"), ("A=B", "A=B")] * 5))[0]
    assert once.low < once.score < once.high
    assert doubled.standard_error > once.standard_error


def test_the_older_files_rows_are_read_and_others_are_refused() -> None:
    (found,) = score_judgments([{"question_id": "q", "model": "m", "judge": "j", "games": [{"score": "B>A"}, {"score": "A>B"}]}])
    assert found.score == 100
    with pytest.raises(DataFormatError, match="row 1 is no judgment"):
        score_judgments([{"uid": "q", "model": "m"}])


@needs_data
def test_the_baselines_are_the_official_ones() -> None:
    settings = json.loads((ARENA / "judge_settings.json").read_text())
    assert {category: setting["baseline"] for category, setting in settings.items()} == BASELINES


def test_a_row_judged_against_another_baseline_is_refused_by_its_number() -> None:
    rows = [{**row, "baseline": "gpt-4-0314"} for row in judged(("B>A", "A>B"), ("A>B", "B>A"), ("A=B", "A=B"))]
    unnamed = {key: value for key, value in rows[1].items() if key != "baseline"}
    assert score_judgments([rows[0], unnamed, rows[2]]) == score_judgments(rows)
    with pytest.raises(
        DataFormatError, match=r"row 3 judges m against gpt-4\.1, and the rows of arena-hard-v0\.1 before it against gpt-4-0314"
    ):
        score_judgments([*rows[:2], {**rows[2], "baseline": "gpt-4.1"}])
    elsewhere = [{**rows[2], "baseline": "gpt-4.1", "model": "other"}, {**rows[2], "baseline": "gpt-4.1", "category": "math"}]
    assert len(score_judgments([*rows, *elsewhere])) == 3


def test_a_score_knows_its_baseline_also_where_its_rows_leave_it_out() -> None:
    rows = judged(("B>A", "A>B"), ("A>B", "B>A"))
    assert [score.baseline for score in score_judgments(rows)] == ["gpt-4-0314"]
    assert [score.baseline for score in score_judgments([{**row, "category": "mine"} for row in rows])] == [""]
    against = [{**row, "baseline": "gpt-4.1"} for row in rows]
    assert [score.as_dict()["baseline"] for score in score_judgments(against)] == ["gpt-4.1"]
    with pytest.raises(DataFormatError, match=r"row 2 judges m against gpt-4\.1, and .* before it against gpt-4-0314"):
        score_judgments([rows[0], against[1]])


def test_the_shares_of_the_error_add_up_to_it_and_belong_to_questions_that_were_judged() -> None:
    games = [("B>A", "A=B"), ("A>>B", "B>A"), ("B>A", None), (None, None), ("A=B", "A>B")]
    (found,) = score_judgments(judged(*games))
    assert set(found.influence) == {"0", "1", "2", "4"}
    assert math.sqrt(sum(share**2 for share in found.influence.values())) == pytest.approx(found.standard_error)
    assert sum(found.influence.values()) == pytest.approx(0)
    assert "influence" not in found.as_dict()
    (split,) = score_judgments(judged(("B>A", "A>B"), ("A>B", "B>A")))
    assert split.influence == pytest.approx({"0": 50 / math.sqrt(2), "1": -50 / math.sqrt(2)})


@needs_data
def test_the_shares_give_the_error_of_a_difference_on_the_same_questions() -> None:
    rows = read_rows(ARENA / "judgments_v0.1.jsonl.gz")
    pair = ("gpt-4-0613", "gpt-3.5-turbo-0125")
    by_model = [{row["uid"]: row for row in rows if row["model"] == model} for model in pair]
    first, second = (score_judgments(list(of_model.values()))[0] for of_model in by_model)
    error = math.sqrt(sum((share - second.influence[question]) ** 2 for question, share in first.influence.items()))
    chance, questions = np.random.default_rng(0), np.array(list(by_model[0]))
    gaps = []
    for _ in range(200):
        drawn = chance.choice(questions, len(questions))
        resampled = [[{**of_model[uid], "uid": str(n)} for n, uid in enumerate(drawn)] for of_model in by_model]
        gaps.append(score_judgments(resampled[0])[0].score - score_judgments(resampled[1])[0].score)
    assert error == pytest.approx(np.std(gaps), rel=0.15)
    assert error < math.hypot(first.standard_error, second.standard_error)


def test_the_details_say_what_the_seats_did() -> None:
    fair = score_judgments(judged(("B>A", "A>B"), ("A>>B", "B>>A"), ("A=B", "A=B"), ("B>A", "A>>B")))[0].details
    assert fair["swap_consistency"] == 1
    seated = score_judgments(judged(("A>B", "A>B"), ("A=B", "A>B"), ("A>B", "B>A"), ("A>B", None)))[0].details
    assert seated["swap_consistency"] == pytest.approx(1 / 3)
    assert seated["first_seat"] == pytest.approx(100 * 5.5 / 7)
    first_only = score_judgments(judged(("A>B", "A>B"), ("A>>B", "A>B")))[0].details
    assert (first_only["swap_consistency"], first_only["first_seat"]) == (0, 100)
    assert score_judgments(judged(("A>B", None)))[0].details["swap_consistency"] is None


def styled(count: int) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Judgments that go to the longer answer three times of four, and the answers' styles; the candidate's are the longer ones."""
    chance = np.random.default_rng(0)
    lengths = {"m": chance.integers(100, 400, count), "gpt-4-0314": chance.integers(50, 300, count)}
    longer = lengths["m"] > lengths["gpt-4-0314"]
    wins = np.where(chance.random(count) < 0.75, longer, ~longer)
    rows = judged(*[("B>A", "A>B" if chance.random() < 0.9 else "A=B") if win else ("A>B", "B>A") for win in wins])
    answers = {
        model: {str(n): answer_style("", count_tokens=lambda _, size=size: int(size)) for n, size in enumerate(sizes)}
        for model, sizes in lengths.items()
    }
    return rows, answers


def test_with_answers_the_details_have_the_score_at_equal_style_and_all_else_stays() -> None:
    rows, answers = styled(200)
    (plain,), (found,) = score_judgments(rows), score_judgments(rows, answers)
    assert (found.score, found.standard_error, found.influence) == (plain.score, plain.standard_error, plain.influence)
    details = found.details
    assert plain.details.items() <= details.items()
    assert details["style_controlled"] < found.score - 5
    assert details["style_controlled_low"] < details["style_controlled"] < details["style_controlled_high"]
    assert 0 < details["style_controlled_standard_error"] < 10
    assert details["style_coefficients"]["length"] > 0.3
    assert details["style_controlled_official"] == pytest.approx(found.score, abs=2)


def test_an_answer_that_is_missing_is_named() -> None:
    rows, answers = styled(20)
    for model in answers:
        lacking = {**answers, model: {key: style for key, style in answers[model].items() if key != "7"}}
        with pytest.raises(DataFormatError, match=f"no answer of {model} to question 7"):
            score_judgments(rows, lacking)
    with pytest.raises(DataFormatError, match="the rows of mine do not name their baseline"):
        score_judgments([{**row, "category": "mine"} for row in rows], answers)
    named = [{**row, "category": "mine", "baseline": "gpt-4-0314"} for row in rows]
    assert score_judgments(named, answers)[0].details["style_controlled"] > 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("games", games) for games in (["A>B", "B>A"], [{"score": ["A>B"]}], [{"score": 1}], [[]])),
        *(("uid", value) for value in (["q"], 1, {})),
        *(("model", value) for value in (7, None, ["m"])),
        ("category", ["math"]),
        ("baseline", ["gpt-4-0314"]),
    ],
)
def test_a_value_that_no_judgment_has_is_refused_by_its_row(key: str, value: object) -> None:
    rows = judged(("B>A", "A>B"), ("A>B", "B>A"))
    with pytest.raises(DataFormatError, match=f"row 2: `{key}` is .*, not ") as refused:
        score_judgments([rows[0], {**rows[1], key: value}])
    assert refused.value.cure


def test_games_that_nobody_judged_are_unreadable() -> None:
    (found,) = score_judgments(
        [{**judged(("B>A", "A>B"))[0], "games": [None, {"score": "B>A"}]}, {**judged(("B>A", "A>B"))[0], "uid": "1", "games": [{}]}]
    )
    assert (found.judged, found.unreadable) == (1, 3)

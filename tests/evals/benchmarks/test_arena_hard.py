"""Scores equal the official ones on the real verdicts; what cannot be read is counted and never crashes."""

from collections.abc import Sequence
from typing import Any

import pytest

from evals.benchmarks.arena_hard import parse_verdict, score_judgments
from evals.benchmarks.files import read_csv, read_rows
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

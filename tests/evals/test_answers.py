"""Responses and verdicts survive a file, whatever is in them."""

from pathlib import Path

import pytest

from evals.answers import load_answers, save_answers
from evals.errors import DataFormatError
from evals.generation import Response
from evals.judging import Verdict

RESPONSES = [Response("a", "Größe\nzwei\u2028Zeilen ✓", 7), Response("b", "", 0, finished=False), Response("c", '"{}"', 3)]
VERDICTS = [
    Verdict("a", 0.75, True, "A is clearer", (0.75, 0.5), 0.25),
    Verdict("b", None, False, "no\nverdict"),
    Verdict("c", 0.0),
]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "trial" / "step-000010.jsonl"
    save_answers(file, RESPONSES, VERDICTS)
    assert load_answers(file) == (RESPONSES, VERDICTS)


def test_saving_again_replaces_the_file_and_leaves_no_part(tmp_path: Path) -> None:
    file = tmp_path / "step.jsonl"
    save_answers(file, RESPONSES, VERDICTS)
    save_answers(file, RESPONSES[:1], VERDICTS[:1])
    assert load_answers(file) == (RESPONSES[:1], VERDICTS[:1])
    assert list(tmp_path.iterdir()) == [file]


def test_a_response_without_a_verdict_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        save_answers(tmp_path / "step.jsonl", RESPONSES, VERDICTS[:1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        '{"response": {"prompt_id": "d", "text": "x", "tokens": 1}}',
        '{"response": {"prompt_id": "d", "text": "x", "tokens": 1, "of": 2}, "verdict": {"prompt_id": "d", "candidate_score": 1.0}}',
        '{"response": {"prompt_id": "d"}, "verdict": [1.0]}',
        "[1]",
        "null",
    ],
)
def test_a_line_that_is_no_response_with_its_verdict_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "step.jsonl"
    save_answers(file, RESPONSES, VERDICTS)
    file.write_text(file.read_text() + line)
    with pytest.raises(DataFormatError, match="no response with its verdict") as refusal:
        load_answers(file)
    assert (refusal.value.where, refusal.value.cure) == (f"{file}:4", "restore the file")


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "step.jsonl"
    save_answers(file, RESPONSES, VERDICTS)
    file.write_text(file.read_text() + "{half")
    with pytest.raises(DataFormatError) as refusal:
        load_answers(file)
    assert refusal.value.where == f"{file}:4"

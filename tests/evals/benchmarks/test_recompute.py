"""`daa score` reads official files as they come, and says where one cannot be read."""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.benchmarks.files import DATA_VARIABLE, benchmark_file, read_csv, read_rows
from evals.benchmarks.formats import arena_answer
from evals.benchmarks.recompute import as_json, compare_files, score_files
from evals.errors import DataFormatError, UserError

GAMES = {"judge": "j", "model": "m", "games": [{"score": "B>A"}, {"score": "A>B"}]}
ROWS = [{"uid": str(number), **GAMES} for number in range(3)]


def written(file: Path, content: str) -> Path:
    """A file, gzipped if its name says so."""
    file.write_bytes(gzip.compress(content.encode()) if file.suffix == ".gz" else content.encode())
    return file


@pytest.mark.parametrize("name", ["rows.json", "rows.json.gz"])
def test_a_json_list_is_read(name: str, tmp_path: Path) -> None:
    assert read_rows(written(tmp_path / name, json.dumps(ROWS, indent=2))) == ROWS


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_json_lines_are_read_whatever_their_texts_hold(name: str, tmp_path: Path) -> None:
    rows = [{**ROWS[0], "text": "a\u2028b\x0bc"}, ROWS[1]]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    assert read_rows(written(tmp_path / name, content)) == rows


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('{"uid": 1}\nhalf a {', "rows.jsonl:2"),
        ('{"uid": 1}\n[1]', "rows.jsonl:2"),
        *((nothing, "rows.jsonl") for nothing in ("[]", "[1]", "", "\n \n", "\ufeff")),
    ],
)
def test_what_is_no_row_is_refused_with_its_place(content: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError) as refused:
        read_rows(written(tmp_path / "rows.jsonl", content))
    assert refused.value.where.endswith(where)
    assert refused.value.cure


def test_a_file_that_is_not_there_is_named_as_the_place(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="there is no file") as refused:
        score_files("mt_bench", [tmp_path / "x.json"])
    assert refused.value.where == str(tmp_path / "x.json")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_mark_of_the_encoding_is_no_part_of_the_first_row(name: str, tmp_path: Path) -> None:
    assert read_rows(written(tmp_path / name, "\ufeff" + "\n".join(map(json.dumps, ROWS)))) == ROWS
    assert read_csv(written(tmp_path / f"{name}.csv", "\ufeffmodel,average\nm,1\n")) == [{"model": "m", "average": "1"}]


@pytest.mark.parametrize("content", [b"model,average\n\xff,1\n", b"model,average\n" + b"m" * 200_000])
def test_a_table_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_bytes(content)
    # One limit holds for the whole process, and data files have theirs.
    usual = csv.field_size_limit(1 << 17)
    try:
        with pytest.raises(DataFormatError, match="cannot be read") as refused:
            read_csv(tmp_path / "scores.csv")
    finally:
        csv.field_size_limit(usual)
    assert refused.value.where == str(tmp_path / "scores.csv")


def test_a_damaged_archive_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "rows.jsonl.gz"
    broken.write_bytes(gzip.compress(b"{}" * 1000)[:20])
    with pytest.raises(DataFormatError, match="cannot be read"):
        read_rows(broken)
    with pytest.raises(DataFormatError, match="there is no file"):
        read_rows(tmp_path / "absent.jsonl")


def test_benchmark_data_are_found_plain_or_gzipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    (tmp_path / "mt_bench").mkdir()
    packed = written(tmp_path / "mt_bench" / "question.jsonl.gz", "{}")
    assert benchmark_file("mt_bench/question.jsonl") == packed
    with pytest.raises(DataFormatError, match="there is no mt_bench/other"):
        benchmark_file("mt_bench/other.jsonl")


def test_each_file_has_its_own_rows_and_a_refusal_names_the_file(tmp_path: Path) -> None:
    first = written(tmp_path / "one.jsonl", "\n".join(map(json.dumps, ROWS)))
    second = written(tmp_path / "two.json", json.dumps(ROWS[:2]))
    rows = score_files("arena_hard", [first, second])
    assert [(row["file"], row["model"], row["judged"]) for row in rows] == [(str(first), "m", 6), (str(second), "m", 4)]
    with pytest.raises(DataFormatError) as refused:
        score_files("mt_bench", [first])
    assert str(first) in refused.value.where
    with pytest.raises(UserError, match="no benchmark 'mmlu'"):
        score_files("mmlu", [first])


def test_the_name_of_a_version_is_the_benchmarks_and_refuses_a_file_of_the_other(tmp_path: Path) -> None:
    first, second = judgments(tmp_path / "v0.jsonl", {}), judgments(tmp_path / "v2.jsonl", {"category": "hard_prompt"})
    for name, file in (("arena_hard_v0.1", first), ("arena_hard_v2.0", second)):
        assert score_files(name, [file]) == score_files("arena_hard", [file])
    with pytest.raises(UserError, match=r"of Arena-Hard v2\.0") as refused:
        score_files("arena_hard_v0.1", [second])
    assert (refused.value.where, refused.value.cure) == (str(second), "give --benchmark arena_hard_v2.0")


def test_judgments_with_all_answers_beside_them_are_scored_at_equal_style_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "empty"))
    file, answered = tmp_path / "model_judgment" / "j" / "m.jsonl", tmp_path / "model_answer"
    file.parent.mkdir(parents=True), answered.mkdir()
    judgments(file, {"category": "hard_prompt", "baseline": "base"})
    (plain,) = score_files("arena_hard_v2.0", [file])
    for model, text in (("m", "**long** and bold " * 9), ("base", "short")):
        rows = [arena_answer(row["uid"], model, "?", text + row["uid"]) for row in ROWS]
        written(answered / f"{model}.jsonl", "\n".join(map(json.dumps, rows)))
    (controlled,) = score_files("arena_hard_v2.0", [file])
    assert "style_controlled" not in plain and "style_controlled" in controlled
    assert {key: controlled[key] for key in plain} == plain


def judgments(file: Path, *changes: dict[str, str]) -> Path:
    return written(file, "\n".join(json.dumps({**row, **changed}) for changed in changes for row in ROWS))


def test_a_second_file_of_several_models_is_refused_with_a_cure_that_helps(tmp_path: Path) -> None:
    one, models = judgments(tmp_path / "one.jsonl", {}), judgments(tmp_path / "models.jsonl", {"model": "a"}, {"model": "b"})
    for first, cure in ((one, "give this file first"), (models, "give a second file of one model's judgments")):
        with pytest.raises(UserError, match="the second file holds more than one model: a, b") as refused:
            compare_files("arena_hard", first, models)
        assert (refused.value.where, refused.value.cure) == (str(models), cure)
    assert [(row["model"], row["against"]) for row in compare_files("arena_hard", models, one)] == [("a", "m"), ("b", "m")]


def test_judgments_of_two_judges_are_compared_judge_by_judge_whichever_file_comes_first(tmp_path: Path) -> None:
    both = judgments(tmp_path / "both.jsonl", {"model": "a", "judge": "x"}, {"model": "a", "judge": "j"})
    one = judgments(tmp_path / "one.jsonl", {})
    for first, second, told in ((one, both, ("m", "a", "j")), (both, one, ("a", "m", "j"))):
        assert [(row["model"], row["against"], row["judge"]) for row in compare_files("arena_hard", first, second)] == [told]
    assert [row["judge"] for row in compare_files("arena_hard", both, both)] == ["x", "j"]


def test_files_without_a_category_or_a_judge_in_common_are_refused(tmp_path: Path) -> None:
    one, unnamed = judgments(tmp_path / "one.jsonl", {}), judgments(tmp_path / "unnamed.jsonl", {"judge": ""}, {"judge": "x"})
    with pytest.raises(UserError, match="no judge in common: j; and one without a name, x") as refused:
        compare_files("arena_hard", one, unnamed)
    assert refused.value.cure == "judge both models alike"
    with pytest.raises(UserError, match="no category in common"):
        compare_files("arena_hard", one, judgments(tmp_path / "math.jsonl", {"category": "math"}))


def test_what_is_not_a_number_is_null() -> None:
    row: dict[str, Any] = {"file": "f", "standard_error": float("nan"), "weights": (1.0, float("inf")), "of": {"style": float("nan")}}
    told = {"file": "f", "standard_error": None, "weights": [1.0, None], "of": {"style": None}}
    assert json.loads(as_json([row])) == [told]


def test_the_command_prints_json_and_a_table(tmp_path: Path) -> None:
    file = written(tmp_path / "one.jsonl", "\n".join(map(json.dumps, ROWS)))
    command = [sys.executable, "-m", "orchestrator.cli", "score", "--benchmark", "arena_hard", str(file)]
    table = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "100.00 (43.85–100.00)" in table
    (row,) = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, timeout=120).stdout)
    assert (row["benchmark"], row["model"], row["score"], row["n_questions"]) == ("arena_hard", "m", 100.0, 3)


def test_a_file_that_is_no_judgment_ends_with_code_two_and_without_a_traceback(tmp_path: Path) -> None:
    file = written(tmp_path / "one.jsonl", '{"uid": 1}')
    command = [sys.executable, "-m", "orchestrator.cli", "score", "--benchmark", "arena_hard", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "row 1 is no judgment" in done.stderr
    assert "Traceback" not in done.stderr

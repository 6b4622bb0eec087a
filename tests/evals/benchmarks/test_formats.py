"""Official files are written as the official tools write them, and read whoever wrote them; what is unreadable is refused by place."""

import csv
import gzip
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evals import whole_files
from evals.benchmarks import files
from evals.benchmarks.alpaca_eval2 import difficulties
from evals.benchmarks.arena_hard import score_judgments as score_arena
from evals.benchmarks.files import DATA_VARIABLE, read_rows
from evals.benchmarks.formats import (
    Completion,
    PairGame,
    annotation,
    arena_answer,
    arena_game,
    arena_judgment,
    leaderboard_row,
    mt_answer,
    mt_pair,
    mt_single,
    read_outputs,
)
from evals.benchmarks.mt_bench import score_judgments as score_mt_bench
from evals.benchmarks.score import BenchmarkScore
from evals.benchmarks.writing import (
    safe_name,
    write_annotations,
    write_json,
    write_json_lines,
    write_leaderboard,
    write_model_outputs,
)
from evals.errors import DataFormatError, UserError
from evals.prompts import Message
from tests.evals.benchmarks.official import DATA, needs_data

Rows = list[dict[str, Any]]
BASELINE = {"instruction": "Say hi/lo.", "output": "Hi.", "dataset": "koala", "generator": "gpt4_1106_preview"}


def alpaca_rows(model: str = "org/m") -> Rows:
    answers = {"Say hi/lo.": "Hé, \u2028\U0001f600", "Add.": "2"}
    return [{"dataset": "koala", "instruction": key, "output": text, "generator": model} for key, text in answers.items()]


def written(file: Path, rows: Rows) -> Path:
    write_json_lines(file, rows)
    return file


def board(score: float, model: str = "org/m", **changed: Any) -> BenchmarkScore:
    """A score of annotations; `changed` are its details."""
    numbers = {"win_rate": 40.5, "win_rate_standard_error": 1.25, "discrete_win_rate": 41.0, "lc_standard_error": 1.5}
    counts = {"n_wins": 1, "n_wins_base": 2, "n_draws": 0, "n_total": 3, "avg_length": 1800}
    details = {**numbers, **counts, "length_controlled_winrate": score, **changed}
    return BenchmarkScore("alpaca_eval2", model, "judge", score, 1.5, score - 3, score + 3, 3, 0, details)


def table(file: Path) -> Mapping[str, Mapping[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return {row[""]: row for row in csv.DictReader(lines)}


OUTPUT_FILES: Mapping[str, tuple[Rows, Mapping[str, tuple[str, ...]]]] = {
    "alpaca_eval": (alpaca_rows(), {"Say hi/lo.": ("Hé, \u2028\U0001f600",), "Add.": ("2",)}),
    "arena_hard_2025": (
        [arena_answer("u1", "org/m", "Ask.", "Told."), arena_answer("u2", "org/m", "?", "!")],
        {"u1": ("Told.",), "u2": ("!",)},
    ),
    "arena_hard_2025_plain_content": (
        [{"uid": "u1", "model": "org/m", "messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": "Told."}]}],
        {"u1": ("Told.",)},
    ),
    "arena_hard_2024": (
        [{"question_id": "q1", "model_id": "org/m", "choices": [{"index": 0, "turns": [{"content": "Told.", "token_len": 2}]}]}],
        {"q1": ("Told.",)},
    ),
    "mt_bench": (
        [mt_answer("81", "org/m", ["One.", "Two."]), mt_answer(82, "org/m", ["3", "4"])],
        {"81": ("One.", "Two."), "82": ("3", "4")},
    ),
    "plain_prompts": ([{"prompt": "Ask.", "response": "Told.", "model": "org/m"}], {"Ask.": ("Told.",)}),
    "plain_ids": (
        [{"id": 7, "output": "Told.", "model": "org/m"}, {"id": "8", "output": "", "model": "org/m"}],
        {"7": ("Told.",), "8": ("",)},
    ),
    "text_before_id": ([{"id": 0, "prompt": "Ask.", "output": "Told.", "model": "org/m"}], {"Ask.": ("Told.",)}),
    "id_beside_a_conversation": ([{"id": "a", "prompt": [{"role": "user"}], "output": "Told.", "model": "org/m"}], {"a": ("Told.",)}),
}


@pytest.mark.parametrize("name", OUTPUT_FILES)
@pytest.mark.parametrize("ending", ["jsonl", "json", "jsonl.gz"])
def test_outputs_are_told_by_their_content(name: str, ending: str, tmp_path: Path) -> None:
    rows, answers = OUTPUT_FILES[name]
    file = tmp_path / f"rows.{ending}"
    text = json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows))
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    found = read_outputs(file)
    assert (found.model, dict(found.answers)) == ("org/m", dict(answers))


def test_a_small_file_that_unpacks_beyond_all_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LARGEST", 1 << 20)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b"[" + b" " * (2 << 20)))
    with pytest.raises(DataFormatError, match="more than 1 MiB"):
        read_rows(tmp_path / "bomb.json.gz")


def test_a_model_without_a_name_has_the_files(tmp_path: Path) -> None:
    assert read_outputs(written(tmp_path / "Llama-3.1-8B.jsonl", [{"prompt": "Ask.", "output": "Told."}])).model == "Llama-3.1-8B"


@needs_data
def test_the_official_answers_are_read() -> None:
    arena = read_outputs(DATA / "arena_hard" / "model_answer_v0.1_gpt-4-0613.jsonl.gz")
    questions = {row["uid"] for row in read_rows(DATA / "arena_hard" / "question_v0.1.jsonl.gz")}
    assert (arena.model, set(arena.answers)) == ("gpt-4-0613", questions)
    alpaca = read_outputs(DATA / "preference_text" / "baseline_outputs.jsonl.gz")
    assert alpaca.model == "gpt4_1106_preview"
    assert list(alpaca.answers) == [row["instruction"] for row in read_rows(DATA / "alpaca_eval2" / "instructions.jsonl.gz")]


@needs_data
def test_the_official_mt_bench_answers_are_read_model_by_model(tmp_path: Path) -> None:
    by_model: dict[str, Rows] = defaultdict(list)
    for row in read_rows(DATA / "mt_bench" / "model_answers.jsonl.gz"):
        by_model[row["model_id"]].append(dict(row))
    questions = [str(row["question_id"]) for row in read_rows(DATA / "mt_bench" / "question.jsonl")]
    for model, rows in by_model.items():
        found = read_outputs(written(tmp_path / "rows.jsonl", rows))
        assert found.model == model
        assert sorted(found.answers) == sorted(questions)
        assert {len(turns) for turns in found.answers.values()} == {2}
    with pytest.raises(DataFormatError, match="the file holds 11 models: mamba_0_5_dpo_ep1, mamba_0_5_dpo_ep3"):
        read_outputs(DATA / "mt_bench" / "model_answers.jsonl.gz")


def test_two_answers_to_one_prompt_are_refused_with_both_lines(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in [*alpaca_rows(), alpaca_rows()[0]]]
    (tmp_path / "rows.jsonl").write_text("\ufeff" + "\n\n".join(lines))
    with pytest.raises(DataFormatError, match="answered twice, on lines 1 and 5") as refused:
        read_outputs(tmp_path / "rows.jsonl")
    assert refused.value.where == f"{tmp_path / 'rows.jsonl'}:5"
    write_json(tmp_path / "rows.json", [*alpaca_rows(), alpaca_rows()[0]])
    with pytest.raises(DataFormatError, match="answered twice, on lines 2 and 14"):
        read_outputs(tmp_path / "rows.json")


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"instruction": "Ask."}, "holds no answer"),
        ({"instruction": "Ask.", "output": None}, "holds no answer"),
        ({"instruction": "Ask.", "output": ["Told."]}, "holds no answer"),
        ({"output": "Told."}, "does not say which prompt"),
        ({"instruction": "", "output": "Told."}, "does not say which prompt"),
        ({"question_id": 81, "model_id": "m", "choices": []}, "does not say which prompt"),
        ({"question_id": 81, "model_id": "m", "choices": [{"turns": []}]}, "holds no answer"),
        ({"uid": "u", "model": "m", "messages": [{"role": "user", "content": "Ask."}]}, "holds no answer"),
        ({"uid": "u", "model": "m", "messages": "Told."}, "does not say which prompt"),
    ],
)
def test_a_row_that_is_no_answer_is_refused_with_its_line_and_the_cure(row: dict[str, Any], what: str, tmp_path: Path) -> None:
    file = written(tmp_path / "rows.jsonl", [*alpaca_rows("m"), row])
    with pytest.raises(DataFormatError, match=what) as refused:
        read_outputs(file)
    assert refused.value.where == f"{file}:3"
    assert "model_outputs.json" in refused.value.cure


@pytest.mark.parametrize("content", ["", "\n", "[]"])
def test_an_empty_file_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(content)
    with pytest.raises(DataFormatError) as refused:
        read_outputs(file)
    assert str(file) in refused.value.where
    assert refused.value.cure


@pytest.mark.parametrize(
    ("make", "known"),
    [
        (lambda text: arena_answer("u", "m", "Ask.", text, tstamp=1.0), "66128e48e0913cbae36bed"),
        (lambda text: mt_answer(81, "m", [text, "Two."]), "2c2d10dda1115ddc58458b"),
    ],
)
def test_the_same_answer_has_the_same_id_in_every_run_and_another_has_another(make: Callable[[str], dict[str, Any]], known: str) -> None:
    def identifier(text: str) -> str:
        row = make(text)
        return row.get("ans_id") or row["answer_id"]

    assert identifier("One.") == known != identifier("Other.")
    assert len(identifier("One.")) == len("g5WqsjuLZAViygnwvFeeQt")


@needs_data
def test_rows_of_answers_have_the_official_keys() -> None:
    arena = read_rows(DATA / "arena_hard" / "model_answer_v0.1_gpt-4-0613.jsonl.gz")[0]
    ours = arena_answer(arena["uid"], arena["model"], arena["messages"][0]["content"], arena["messages"][1]["content"]["answer"])
    assert list(ours) == list(arena)
    assert ours["messages"] == arena["messages"]
    official = read_rows(DATA / "mt_bench" / "model_answers.jsonl.gz")[0]
    answer = mt_answer(str(official["question_id"]), official["model_id"], official["choices"][0]["turns"], official["tstamp"])
    assert list(answer) == list(official)
    assert {**answer, "answer_id": ""} == {**official, "answer_id": ""}
    assert list(arena_answer("u", "m", "Ask.", "Told.", {"token_len": 2}))[-1] == "metadata"


@needs_data
def test_single_judgments_are_the_official_rows() -> None:
    for official in read_rows(DATA / "mt_bench" / "gpt-4_single.jsonl.gz")[:50]:
        row = {key: value for key, value in official.items() if key != "source"}
        told = (row["user_prompt"], row["judgment"])
        judge = (row["judge"][0], row["judge"][1])
        ours = mt_single((str(row["question_id"]), row["turn"]), row["model"], judge, told, row["score"], row["tstamp"])
        assert ours == row
        assert list(ours) == list(row)


def test_a_judgment_without_a_score_is_the_official_failure_and_in_no_average() -> None:
    rows = [mt_single((81, turn), "m", ("j", "single-v1"), ("?", "!"), score) for turn, score in ((1, 8.0), (2, None))]
    assert rows[1]["score"] == -1
    (found,) = score_mt_bench(rows)
    assert (found.score, found.judged, found.unreadable) == (8.0, 1, 1)


def test_winners_of_a_pair_are_told_by_model_whatever_their_seat() -> None:
    seats = ("A", "B", "tie", None)
    rows = [mt_pair((81, 1), ("m", "n"), ("j", "pair-v2"), [PairGame(seat, "p1", "t1"), PairGame(seat, "p2", "t2")]) for seat in seats]
    assert [(row["g1_winner"], row["g2_winner"]) for row in rows] == [
        ("model_1", "model_2"),
        ("model_2", "model_1"),
        ("tie", "tie"),
        ("error", "error"),
    ]
    prompts = "g1_user_prompt g1_judgment g2_user_prompt g2_judgment"
    assert list(rows[0]) == f"question_id model_1 model_2 g1_winner g2_winner judge {prompts} turn tstamp".split()
    assert [rows[0][key] for key in prompts.split()] == ["p1", "t1", "p2", "t2"]


def test_arena_judgments_have_the_official_form_and_are_scored(tmp_path: Path) -> None:
    of = {"model": "m", "uid": "u", "judge": "j", "baseline": "b", "category": "hard_prompt"}
    prompt = [Message("system", "Judge."), Message("user", "A or B?")]
    row = arena_judgment(of, [arena_game("B>>A", "so [[B>>A]]", prompt), None])
    assert list(row) == ["uid", "category", "judge", "model", "baseline", "games"]
    assert row["games"][0] == {
        "score": "B>>A",
        "judgment": {"answer": "so [[B>>A]]"},
        "prompt": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "A or B?"}],
    }
    (found,) = score_arena(read_rows(written(tmp_path / "m.jsonl", [row])))
    assert (found.score, found.judged, found.unreadable) == (100.0, 1, 1)


def test_an_annotation_keeps_what_the_annotator_said_without_tokens_of_no_probability() -> None:
    completion = Completion({"M": -0.1, "m": -2.5, "x": float("-inf")}, price=0.01, seconds=0.5, tokens=900, version="v", date="d")
    row = annotation(BASELINE, ("gpt4_1106_preview", "org/m"), "Lo.", 1.25, "judge", completion)
    choice = row["preference_raw_completion"]
    (content,) = choice["logprobs"]["content"]
    assert [token["token"] for token in content["top_logprobs"]] == ["M", "m"]
    assert (content["token"], choice["text"], choice["message"]["content"], choice["total_tokens"]) == ("M", "M", "M", 900)
    assert [row[f"preference_{key}"] for key in ("price_per_example", "time_per_example", "version", "date")] == [0.01, 0.5, "v", "d"]
    assert (row["output_1"], row["generator_1"], row["output_2"], row["generator_2"]) == ("Hi.", "gpt4_1106_preview", "Lo.", "org/m")


@pytest.mark.parametrize("preference", [None, float("nan")])
def test_a_failed_judgment_is_null(preference: float | None) -> None:
    row = annotation(BASELINE, ("b", "m"), "Lo.", preference, "judge", Completion({"m": float("-inf")}))
    assert (row["preference"], row["preference_raw_completion"]) == (None, None)


@needs_data
def test_annotations_are_written_in_official_order_and_none_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(DATA))
    order = list(difficulties())
    rows = [annotation({**BASELINE, "instruction": name}, ("b", "m"), "Lo.", 1.1234567890123456, "judge") for name in order]
    write_annotations(tmp_path / "a" / "annotations.json", rows[::-1])
    assert read_rows(tmp_path / "a" / "annotations.json") == rows
    with pytest.raises(DataFormatError, match="1 of 805 instructions have no annotation") as refused:
        write_annotations(tmp_path / "annotations.json", rows[1:])
    assert "preference is None" in refused.value.cure
    with pytest.raises(DataFormatError, match="806 annotations cannot be written for 805 instructions"):
        write_annotations(tmp_path / "annotations.json", [*rows, {**rows[0], "instruction": "other"}])
    assert not (tmp_path / "annotations.json").exists()


def test_a_leaderboard_has_the_official_columns_and_the_best_model_first(tmp_path: Path) -> None:
    file = tmp_path / "leaderboard.csv"
    write_leaderboard(file, [board(20.0, "worse"), board(30.123456789012345, "org/better, or not")])
    header, best, worse = file.read_text().splitlines()
    official = "win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total,discrete_win_rate,mode,avg_length"
    assert header == f",{official},length_controlled_winrate,lc_standard_error"
    assert best == '"org/better, or not",40.5,1.25,1,2,0,3,41.0,community,1800,30.123456789012344,1.5'
    assert worse.startswith("worse,")


def test_what_is_no_number_is_an_empty_cell_of_a_leaderboard(tmp_path: Path) -> None:
    write_leaderboard(tmp_path / "leaderboard.csv", [board(20.0, win_rate_standard_error=math.nan)])
    row = table(tmp_path / "leaderboard.csv")["org/m"]
    assert (row["win_rate"], row["standard_error"], row["n_wins"]) == ("40.5", "", "1")


def test_a_models_own_row_is_replaced_and_the_others_stay_with_their_columns(tmp_path: Path) -> None:
    file = tmp_path / "leaderboard.csv"
    file.write_text(",win_rate,length_controlled_winrate,link\nold,10.10,25.50,http://x\norg/m,1,2,http://y\nunknown,3,,\n")
    write_leaderboard(file, [board(24.0)])
    assert list(table(file)) == ["old", "org/m", "unknown"]
    assert {key: table(file)["old"][key] for key in ("win_rate", "length_controlled_winrate", "link", "mode")} == {
        "win_rate": "10.10",
        "length_controlled_winrate": "25.50",
        "link": "http://x",
        "mode": "",
    }
    assert (table(file)["org/m"]["win_rate"], table(file)["org/m"]["link"]) == ("40.5", "")
    before = file.read_bytes()
    write_leaderboard(file, [board(24.0)])
    assert file.read_bytes() == before


def test_a_file_that_is_no_leaderboard_and_scores_that_have_no_place_on_it_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "leaderboard.csv"
    file.write_text("model,score\na,1\n")
    with pytest.raises(DataFormatError, match="not AlpacaEval's leaderboard"):
        write_leaderboard(file, [board(24.0)])
    assert file.read_text() == "model,score\na,1\n"
    with pytest.raises(UserError, match="one model has several scores"):
        write_leaderboard(tmp_path / "other.csv", [board(24.0), board(25.0)])
    with pytest.raises(UserError, match="arena_hard has no place"):
        leaderboard_row(BenchmarkScore("arena_hard", "m", "j", 1.0, 1.0, 0.0, 2.0, 3, 0, {"category": "hard_prompt"}))


def test_model_outputs_come_back_as_they_were_and_twice_the_same(tmp_path: Path) -> None:
    rows = alpaca_rows()
    write_model_outputs(tmp_path / "one.json", [{**row, "extra": 1} for row in rows])
    assert read_rows(tmp_path / "one.json") == rows
    write_model_outputs(tmp_path / "two.json", rows)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_text_that_is_no_unicode_is_written_and_read(tmp_path: Path) -> None:
    rows = [{"prompt": "Ask.", "output": "half a \ud83d pair"}]
    assert read_outputs(written(tmp_path / "m.jsonl", rows)).answers == {"Ask.": ("half a \ud83d pair",)}


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "m.jsonl", [{"prompt": "Ask.", "output": "Told."}])
    before = file.read_bytes()
    with pytest.raises(ValueError, match="Out of range"):
        write_json_lines(file, [{"prompt": "Ask."}, {"score": float("nan")}])

    def refuse(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(whole_files.os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_json_lines(file, [{"prompt": "Other."}])
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.jsonl"]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("org/model", "org__model"),
        ("Llama-3.1-8B", "Llama-3.1-8B"),
        ("/data/run 1/step-500/", "data__run_1__step-500"),
        ("../up", "..__up"),
        ("a:b\\c\0", "a_b_c_"),
    ],
)
def test_any_model_names_a_file(model: str, name: str, tmp_path: Path) -> None:
    assert safe_name(model) == name
    (tmp_path / safe_name(model)).write_text("")


@pytest.mark.parametrize("model", ["", "/", "..", "__"])
def test_a_model_without_a_letter_names_no_file(model: str) -> None:
    with pytest.raises(UserError, match="cannot name a file"):
        safe_name(model)

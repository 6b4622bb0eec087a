"""Win rates equal the published ones, and length control those of the official fit; order and missing rows do not matter."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.benchmarks.alpaca_eval2 import difficulties, gamed_rows, is_switched, preference, score_annotations
from evals.benchmarks.files import DATA_VARIABLE, read_csv, read_rows
from evals.benchmarks.length_control import GRID, length_controlled
from evals.errors import DataFormatError, UnreadableVerdictsError
from tests.evals.benchmarks.official import DATA, needs_data

PUBLIC = DATA / "alpaca_eval2" / "public"


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark data are found."""
    monkeypatch.setenv(DATA_VARIABLE, str(DATA))


@cache
def instructions() -> Mapping[str, str]:
    """Text by index."""
    return {str(row["index"]): row["instruction"] for row in read_rows(DATA / "alpaca_eval2" / "instructions.jsonl.gz")}


@cache
def annotations() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The rows behind each published row, as annotations.json has them; outputs are as long as the real ones."""
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in read_csv(PUBLIC / "annotations.csv.gz"):
        if row["file"] == "leaderboard":
            rows[row["model"]].append(annotation(row))
    return rows


def annotation(row: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "instruction": instructions()[row["index"]],
        "output_1": "x" * int(float(row["len_1"])),
        "generator_1": "gpt4_1106_preview",
        "output_2": "x" * int(float(row["len_2"])),
        "generator_2": row["model"],
        "annotator": "weighted_alpaca_eval_gpt4_turbo",
        "preference": float(row["preference"]) if row["preference"] else None,
    }


def published() -> Mapping[str, Mapping[str, str]]:
    return {row["model"]: row for row in read_csv(PUBLIC / "leaderboard_rows.csv")} if DATA.is_dir() else {}


@needs_data
@pytest.mark.parametrize("model", published())
def test_win_rates_errors_and_counts_equal_the_published_row(model: str) -> None:
    (found,), row = score_annotations(annotations()[model]), published()[model]
    assert found.details["win_rate"] == pytest.approx(float(row["win_rate"]), abs=1e-9)
    assert found.details["win_rate_standard_error"] == pytest.approx(float(row["standard_error"]), abs=1e-9)
    assert found.details["discrete_win_rate"] == pytest.approx(float(row["discrete_win_rate"]), abs=1e-9)
    for key in ("n_wins", "n_wins_base", "n_draws", "n_total"):
        assert found.details[key] == int(row[key])
    assert found.details["avg_length"] == pytest.approx(int(row["avg_length"]), abs=1)


@needs_data
@pytest.mark.parametrize("model", [model for model in published() if model != "gpt4_1106_preview"])
def test_the_length_controlled_win_rate_is_that_of_the_official_fit(model: str) -> None:
    rows = [row for row in annotations()[model] if row["preference"] is not None]
    # Published rows with missing annotations took each difficulty from the position in the file.
    difficulty = np.array(list(difficulties().values()))[: len(rows)]
    targets = np.array([1.5 if row["preference"] == 0 else row["preference"] for row in rows]) - 1
    lengths = np.array([len(row["output_1"]) - len(row["output_2"]) for row in rows], dtype=np.float64)
    wanted = float(published()[model]["length_controlled_winrate"])
    gamed = gamed_rows()
    assert length_controlled(targets, lengths, difficulty, gamed).win_rate == pytest.approx(wanted, abs=0.2)
    assert min(abs(length_controlled(targets, lengths, difficulty, gamed, c).win_rate - wanted) for c in GRID) < 0.02


@needs_data
@pytest.mark.parametrize("model", ["claude-2", "FuseChat-Llama-3.1-8B-Instruct", "vicuna-7b"])
def test_neither_the_order_of_rows_nor_a_missing_one_moves_the_score(model: str) -> None:
    rows = list(annotations()[model])
    (whole,) = score_annotations(rows)
    shuffled = random.Random(0).sample(rows, len(rows))
    (again,), (without_first,) = score_annotations(shuffled), score_annotations(rows[1:])
    assert again.details["length_controlled_winrate"] == pytest.approx(whole.details["length_controlled_winrate"], abs=0.05)
    assert without_first.score == pytest.approx(whole.score, abs=0.05)
    assert without_first.details["missing"] == whole.details["missing"] + 1


@needs_data
def test_the_error_is_that_of_a_bootstrap_over_instructions() -> None:
    (found,) = score_annotations(annotations()["FuseChat-Llama-3.1-8B-Instruct"])
    assert found.standard_error == pytest.approx(1.48, abs=0.05)


@needs_data
def test_the_baseline_is_exactly_fifty() -> None:
    (found,) = score_annotations(annotations()["gpt4_1106_preview"])
    assert (found.score, found.details["win_rate"]) == (50.0, 50.0)


@needs_data
def test_every_stored_preference_follows_from_the_judges_log_probabilities() -> None:
    rows = read_csv(PUBLIC / "judge_logprobs.csv.gz")
    for row in rows:
        switched = is_switched(instructions()[row["index"]])
        assert switched == bool(int(row["switched"]))
        first, second = (float(row[key]) if row[key] else None for key in ("lp_m", "lp_M"))
        assert preference(first, second, switched) == pytest.approx(float(row["preference"]), abs=1e-9)
    assert len(rows) > 20_000


def test_a_verdict_without_either_letter_is_unreadable() -> None:
    assert preference(None, None, switched=True) is None
    assert preference(-0.1, None, switched=False) == 1.0
    assert preference(-0.1, None, switched=True) == 2.0


@needs_data
def test_unreadable_preferences_are_counted_and_are_in_no_score() -> None:
    rows = [dict(row) for row in annotations()["claude-2"]]
    rows[3]["preference"] = None
    rows[5]["preference"] = float("nan")
    (found,) = score_annotations(rows)
    assert (found.judged, found.unreadable, found.details["n_total"]) == (803, 2, 803)
    with pytest.raises(UnreadableVerdictsError, match="none of 805 preferences"):
        score_annotations([{**row, "preference": None} for row in rows])


@needs_data
def test_an_instruction_that_is_not_the_benchmarks_is_refused() -> None:
    with pytest.raises(DataFormatError, match="the benchmark has no instruction 'other'"):
        score_annotations([{**annotations()["claude-2"][0], "instruction": "other"}])


def test_a_row_that_is_no_annotation_is_refused() -> None:
    with pytest.raises(DataFormatError, match="row 1 has no `output_1`"):
        score_annotations([{"instruction": "x", "preference": 1.0}])


def test_the_last_row_of_an_instruction_counts() -> None:
    row = {"output_1": "a", "generator_1": "d", "output_2": "c", "generator_2": "d"}
    once = [{**row, "instruction": name, "preference": preference} for name, preference in (("x", 2.0), ("y", 1.25), ("z", None))]
    twice = [{**row, "instruction": name, "preference": 1.0} for name in ("z", "x", "y", "x")]
    (found,), (expected,) = score_annotations([*twice, *once]), score_annotations(once)
    assert found == expected
    assert (found.judged, found.unreadable, found.details["missing"]) == (2, 1, 802)


def test_one_model_is_judged_against_one_baseline_which_its_score_names() -> None:
    row = {"instruction": "x", "output_1": "a", "generator_1": "d", "output_2": "c", "generator_2": "d", "preference": 1.0}
    assert [score.baseline for score in score_annotations([row])] == ["d"]
    with pytest.raises(DataFormatError, match="row 2 judges d against text_davinci_003, and the rows before it against d") as refused:
        score_annotations([row, {**row, "generator_1": "text_davinci_003"}])
    assert refused.value.cure == "score what was judged against each baseline apart"


def test_without_the_benchmarks_data_it_is_said_what_to_place_where(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"instruction": "x", "output_1": "a", "generator_1": "b", "output_2": "c", "generator_2": "d", "preference": 1.0}
    monkeypatch.delenv(DATA_VARIABLE)
    with pytest.raises(DataFormatError) as refused:
        score_annotations([row])
    assert DATA_VARIABLE in str(refused.value)
    assert "instruction_difficulty.csv" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("preference", value) for value in ("1.5", 99, 0.5, [1], int("9" * 400))),
        *(("output_2", value) for value in (None, 7, ["c"])),
        ("output_1", None),
        ("generator_1", 7),
        ("instruction", ["x"]),
        ("generator_2", 7),
    ],
)
def test_a_value_that_no_annotation_has_is_refused_by_its_row(key: str, value: object) -> None:
    row = {"instruction": "x", "output_1": "a", "generator_1": "d", "output_2": "c", "generator_2": "d", "preference": 1.0}
    assert score_annotations([row])[0].score == 50
    with pytest.raises(DataFormatError, match=f"row 2: `{key}` is .*, not ") as refused:
        score_annotations([row, {**row, key: value}])
    assert refused.value.cure


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("instruction_difficulty.csv", "index,difficulty\n0,1.0\n"),
        ("instruction_difficulty.csv", "index,instruction_difficulty\n1,1.0\n"),
        ("instruction_difficulty.csv", "index,instruction_difficulty\n0,hard\n"),
        ("df_gamed.csv", "std_delta_len,preference\n0,1.0\n"),
    ],
)
def test_benchmark_data_without_a_column_a_row_or_a_number_are_named(
    name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    whole = {
        "instruction_difficulty.csv": "index,instruction_difficulty\n0,1.0\n",
        "instructions.jsonl": '{"index": 0, "instruction": "x"}',
        "df_gamed.csv": "std_delta_len,instruction_difficulty,preference\n0,1.0,1.0\n",
    }
    (tmp_path / "alpaca_eval2").mkdir()
    for file, text in {**whole, name: content}.items():
        (tmp_path / "alpaca_eval2" / file).write_text(text)
    with pytest.raises(DataFormatError, match="lack a column, a row or a number") as refused:
        _ = difficulties(), gamed_rows()
    assert name in refused.value.where

"""Published leaderboards are read as they come, and our scores take their place among them, with their doubt."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.benchmarks.files import DATA_VARIABLE
from evals.benchmarks.leaderboards import BOARDS, Placed, PublishedRow, board_of, by_board, place, published
from evals.benchmarks.score import BenchmarkScore
from evals.errors import DataFormatError, UserError
from tests.evals.benchmarks.official import DATA, needs_data

ROWS = [PublishedRow(model, score, "j", "score", "file") for model, score in (("a", 80.0), ("b", 60.0), ("c", 60.0), ("d", 40.0))]
README = """# Arena

Hard Prompt, Style Control, and Gemini-2.5 as Judge **(Official Configuration)**:
```console
      Model  Scores (%)         CI (%)
0        o3        85.9  (-0.8 / +0.9)
1   o3-mini        50.0  (-0.0 / +0.0)
```

Hard Prompt, Style Control, and GPT-4.1 as Judge **(If prefer OpenAI API)**
```console
      Model  Scores (%)         CI (%)
0        o3        87.0  (-1.0 / +1.1)
```

Creative Writing, Ensemble as Judges
```console
      Model  Scores (%)         CI (%)
0    gemini        90.8  (-1.2 / +0.
```
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of benchmark data."""
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    for name in ("alpaca_eval2/public", "arena_hard", "mt_bench"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published files are found."""
    monkeypatch.setenv(DATA_VARIABLE, str(DATA))


def ours(score: float, low: float, high: float, judge: str = "j", **details: Any) -> BenchmarkScore:
    """A score of Arena-Hard."""
    return BenchmarkScore("arena_hard", "mine", judge, score, (high - low) / 4, low, high, 1000, 0, details)


def mine(rows: list[Placed]) -> Placed:
    (found,) = [row for row in rows if row.ours]
    return found


@needs_data
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("board", "judge", "count", "model", "score"),
    [
        ("alpaca_eval2", "", 38, "vicuna-7b", 6.277221),
        ("arena_hard_v0.1", "", 60, "gpt-4-0613", 37.9),
        ("arena_hard_v2.0", "", 28, "gpt-4.1", 50.0),
        ("arena_hard_v2.0", "gpt-4.1", 28, "gpt-4.1", 58.3),
        ("mt_bench", "", 6, "mamba_0_5_dpo_ep1", 7.121875),
    ],
)
def test_the_published_files_are_read(board: str, judge: str, count: int, model: str, score: float) -> None:
    rows = published(board, judge)
    assert len(rows) == count
    assert next(row.score for row in rows if row.model == model) == pytest.approx(score, abs=1e-4)


@needs_data
def test_averages_of_published_judgments_are_those_of_the_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mt_bench" / "gpt-4_single.jsonl.gz").write_bytes((DATA / "mt_bench" / "gpt-4_single.jsonl.gz").read_bytes())
    from_judgments = {row.model: row.score for row in published("mt_bench")}
    monkeypatch.setenv(DATA_VARIABLE, str(DATA))
    assert from_judgments == pytest.approx({row.model: row.score for row in published("mt_bench")}, abs=1e-6)


def test_alpaca_evals_official_file_comes_before_the_other_one(folder: Path) -> None:
    header, other = (
        "win_rate,avg_length,length_controlled_winrate,lc_standard_error",
        "model,avg_length,length_controlled_winrate\nold,1,2\n",
    )
    (folder / "alpaca_eval2" / "public" / "leaderboard_rows.csv").write_text(other)
    assert [(row.model, row.score, row.standard_error) for row in published("alpaca_eval2")] == [("old", 2.0, None)]
    (folder / "alpaca_eval2" / "leaderboard.csv").write_text(f",{header}\nfirst,10.5,2049,20.25,0.5\nsecond,9,100,8,\n")
    first, second = published("alpaca_eval2")
    assert (first.model, first.score, first.length, first.standard_error) == ("first", 20.25, 2049.0, 0.5)
    assert (first.headline, first.judge) == ("length_controlled_winrate", "weighted_alpaca_eval_gpt4_turbo")
    assert (second.model, second.standard_error) == ("second", None)


def test_arena_hards_first_version_has_intervals_and_lengths(folder: Path) -> None:
    row = 'model,score,rating_q025,rating_q975,CI,avg_tokens,date\nm,37.9,35.6,40.36,"(-2.30, +2.46)",354.0,2024-07-31\n'
    (folder / "arena_hard" / "leaderboard_v0.1_20240731.csv").write_text(row)
    (found,) = published("arena_hard_v0.1")
    assert (found.model, found.score, found.low, found.high, found.length) == ("m", 37.9, 35.6, 40.36, 354.0)


@pytest.mark.parametrize("name", ["README.md", "README.md.gz", "leaderboard_v2.0_readme.md"])
def test_arena_hards_second_version_is_the_table_of_the_judge_or_the_official_one(name: str, folder: Path) -> None:
    content = README.encode()
    (folder / "arena_hard" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    o3, baseline = published("arena_hard_v2.0")
    assert (o3.model, o3.score, o3.low, o3.high) == ("o3", 85.9, pytest.approx(85.1), pytest.approx(86.8))
    assert (o3.judge, o3.headline, baseline.low, baseline.high) == ("gemini-2.5", "style-controlled score", 50.0, 50.0)
    (other,) = published("arena_hard_v2.0", "gpt-4.1")
    assert (other.score, other.judge) == (87.0, "gpt-4.1")
    assert published("arena_hard_v2.0", "a-judge-of-my-own") == [o3, baseline]


@pytest.mark.parametrize(
    ("board", "file", "content", "what"),
    [
        ("alpaca_eval2", "alpaca_eval2/leaderboard.csv", ",avg_length\nm,1\n", "`length_controlled_winrate` is missing"),
        ("alpaca_eval2", "alpaca_eval2/leaderboard.csv", ",avg_length,length_controlled_winrate\nm,1,x\n", "has no number: 'x'"),
        ("arena_hard_v0.1", "arena_hard/leaderboard_v0.1_20240731.csv", "model,score\n", "has no rows"),
        ("arena_hard_v2.0", "arena_hard/README.md", "# Arena\n", "no table of style-controlled scores"),
        ("arena_hard_v2.0", "arena_hard/README.md", README.replace("+0.9)", "+0."), "cannot be read: '0        o3"),
        ("mt_bench", "mt_bench/scores.csv", "average\n7\n", "`model` is missing"),
    ],
)
def test_a_leaderboard_that_cannot_be_read_is_refused_with_its_place(board: str, file: str, content: str, what: str, folder: Path) -> None:
    (folder / file).write_text(content)
    with pytest.raises(DataFormatError, match=what) as refused:
        published(board)
    assert "daa eval fetch" in refused.value.cure
    assert refused.value.where


@pytest.mark.parametrize("board", BOARDS)
def test_without_a_leaderboard_it_is_said_what_to_place_where(board: str, folder: Path) -> None:
    with pytest.raises(DataFormatError) as refused:
        published(board)
    assert refused.value.where == str(folder)
    assert "gpt-4_single.jsonl from https://" in refused.value.cure if board == "mt_bench" else "daa eval fetch" in refused.value.cure


def test_there_is_no_leaderboard_of_that_name() -> None:
    with pytest.raises(UserError, match="no leaderboard 'mmlu'"):
        published("mmlu")


@pytest.mark.parametrize(
    ("benchmark", "category", "board"),
    [
        ("alpaca_eval2", None, "alpaca_eval2"),
        ("mt_bench", None, "mt_bench"),
        ("arena_hard", "arena-hard-v0.1", "arena_hard_v0.1"),
        ("arena_hard", "hard_prompt", "arena_hard_v2.0"),
    ],
)
def test_a_score_knows_its_leaderboard(benchmark: str, category: str | None, board: str) -> None:
    details = {} if category is None else {"category": category}
    assert board_of(BenchmarkScore(benchmark, "m", "j", 1.0, 0.1, 0.8, 1.2, 10, 0, details)) == board


@pytest.mark.parametrize(("benchmark", "category"), [("arena_hard", "creative_writing"), ("mt_bench_pair", "")])
def test_a_score_without_a_published_leaderboard_is_refused(benchmark: str, category: str) -> None:
    with pytest.raises(UserError, match=f"no leaderboard is published for {benchmark} ?{category}"):
        board_of(BenchmarkScore(benchmark, "m", "j", 1.0, 0.1, 0.8, 1.2, 10, 0, {"category": category}))


def test_what_has_no_leaderboard_is_left_out_and_said_where_something_has_one() -> None:
    hard, creative = ours(70, 60, 80, category="hard_prompt"), ours(30, 20, 40, category="creative_writing")
    assert by_board([creative, hard]) == (
        {"arena_hard_v2.0": [hard]},
        ["mine: no leaderboard is published for arena_hard creative_writing"],
    )
    with pytest.raises(UserError, match="no leaderboard is published for arena_hard creative_writing") as refused:
        by_board([creative])
    assert "of its hard prompts" in refused.value.cure


def test_our_score_is_ranked_with_the_ranks_that_its_interval_spans() -> None:
    rows = place([ours(70, 50, 90)], ROWS)
    assert [(row.model, row.rank) for row in rows] == [("a", 1), ("mine", 2), ("b", 3), ("c", 3), ("d", 5)]
    found = mine(rows)
    assert (found.best_rank, found.worst_rank, found.low, found.high, found.note) == (1, 4, 50, 90, "")


def test_equal_scores_share_the_better_rank() -> None:
    rows = place([ours(60, 60, 60)], ROWS)
    assert [(row.model, row.rank) for row in rows] == [("a", 1), ("b", 2), ("c", 2), ("mine", 2), ("d", 5)]
    assert (mine(rows).best_rank, mine(rows).worst_rank) == (2, 2)


def test_our_scores_count_among_each_other() -> None:
    rows = place([ours(30, 20, 35), ours(70, 65, 75)], ROWS)
    assert [(row.score, row.rank) for row in rows if row.ours] == [(70, 2), (30, 6)]
    assert [(row.best_rank, row.worst_rank) for row in rows if row.ours] == [(2, 2), (6, 6)]


def test_by_another_judge_a_score_is_shown_with_its_note_and_moves_no_other() -> None:
    rows = place([ours(70, 50, 90, judge="mild")], ROWS)
    assert [(row.model, row.rank) for row in rows] == [("a", 1), ("mine", 2), ("b", 2), ("c", 2), ("d", 4)]
    assert mine(rows).note == "not comparable: judged by mild, the published ones by j"
    assert (
        mine(place([ours(70, 50, 90, judge="")], ROWS)).note == "not comparable: judged by a judge without a name, the published ones by j"
    )


def test_against_another_baseline_a_score_is_not_compared_and_part_of_the_prompts_is_told() -> None:
    rows = [replace(row, baseline="o3", prompts=600) for row in ROWS]
    found = place([ours(70, 50, 90, baseline="gpt-4.1")], rows)
    told = "not comparable: judged against gpt-4.1, the published ones against o3; 500 of 600 prompts were judged"
    assert (mine(found).note, [row.rank for row in found]) == (told, [1, 2, 2, 2, 4])
    assert "judged against a baseline without a name, the published" in mine(place([ours(70, 50, 90)], rows)).note
    part = place([ours(70, 50, 90, baseline="o3")], rows)
    assert (mine(part).note, [row.rank for row in part]) == ("500 of 600 prompts were judged", [1, 2, 3, 3, 5])
    assert mine(place([ours(70, 50, 90, baseline="o3")], [replace(row, prompts=500) for row in rows])).note == ""


@needs_data
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("board", "baseline", "prompts"),
    [
        ("alpaca_eval2", "gpt4_1106_preview", 805),
        ("arena_hard_v0.1", "gpt-4-0314", 500),
        ("arena_hard_v2.0", "o3-mini-2025-01-31", 500),
        ("mt_bench", "", 80),
    ],
)
def test_published_rows_name_their_baseline_and_how_many_prompts_they_rest_on(board: str, baseline: str, prompts: int) -> None:
    assert {(row.baseline, row.prompts) for row in published(board)} == {(baseline, prompts)}


@pytest.mark.parametrize(
    ("benchmark", "judged", "unreadable", "told"),
    [("alpaca_eval2", 58, 2, "60 of"), ("arena_hard", 100, 20, "60 of"), ("mt_bench", 119, 0, "60 of"), ("mt_bench", 1600, 10, "")],
)
def test_prompts_are_told_by_the_verdicts_on_each(benchmark: str, judged: int, unreadable: int, told: str) -> None:
    score = BenchmarkScore(benchmark, "mine", "j", 50.0, 1.0, 48.0, 52.0, judged, unreadable)
    row = PublishedRow("a", 80.0, "j", {"alpaca_eval2": "length_controlled_winrate", "mt_bench": "average"}.get(benchmark, "score"), "file")
    assert mine(place([score], [replace(row, prompts=805)])).note == (told and f"{told} 805 prompts were judged")


@pytest.mark.parametrize("judge", ["gpt-4-1106-preview", "weighted_alpaca_eval_gpt4_turbo"])
def test_alpaca_evals_annotator_and_its_model_are_one_judge(judge: str) -> None:
    rows = [PublishedRow("a", 80.0, "weighted_alpaca_eval_gpt4_turbo", "length_controlled_winrate", "file", length=2049)]
    score = BenchmarkScore("alpaca_eval2", "mine", judge, 50.0, 1.0, 48.0, 52.0, 805, 0, {"avg_length": 1900})
    assert (mine(place([score], rows)).note, mine(place([score], rows)).length) == ("", 1900)


def test_among_style_controlled_scores_ours_is_that_figure_or_is_not_compared() -> None:
    rows = [PublishedRow("a", 80.0, "j", "style-controlled score", "file"), PublishedRow("b", 60.0, "j", "style-controlled score", "file")]
    plain = mine(place([ours(85, 82, 88)], rows))
    assert plain.note.startswith("not comparable: it is the score, the published figure the style-controlled score, for which the answers")
    controlled = ours(85, 82, 88, style_controlled=70.0, style_controlled_low=55.0, style_controlled_high=75.0)
    found = mine(place([controlled], rows))
    assert (found.score, found.low, found.high, found.rank, found.best_rank, found.worst_rank) == (70.0, 55.0, 75.0, 2, 2, 3)
    assert found.note == ""
    assert mine(place([controlled], ROWS)).score == 85


def test_without_published_rows_ours_are_ranked_alone() -> None:
    assert [(row.rank, row.note) for row in place([ours(70, 60, 80)], [])] == [(1, "")]


def test_a_judge_behind_an_endpoint_is_the_published_one_of_that_name() -> None:
    assert mine(place([ours(70, 50, 90, judge="openai j")], ROWS)).note == ""


@pytest.mark.parametrize(("board", "name"), [("mt_bench", "mt_bench/scores.csv"), ("arena_hard_v2.0", "arena_hard/README.md")])
def test_a_published_file_that_is_not_in_utf_8_is_named(board: str, name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"model,average\n\xff,1\n")
    with pytest.raises(DataFormatError, match="cannot be read") as refused:
        published(board)
    assert refused.value.where == str(folder / name)

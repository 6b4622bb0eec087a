"""`daa data select` says what it read, keeps what is worth training on, and sets aside every row without a pair."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from orchestrator import cli
from orchestrator.commands import selecting_files
from orchestrator.preferences.reading import read_pairs

ROWS = [
    {"prompt": "say fox", "chosen": "fox", "rejected": "the dog", "chosen_reward": 2, "rejected_reward": 1},
    {"prompt": "say cat", "chosen": "cat"},
    {"prompt": "say " + "word " * 200, "chosen": "word", "rejected": "dog", "chosen_reward": 9, "rejected_reward": 1},
    {"prompt": "say ox", "chosen": "ox", "rejected": "a dog", "chosen_reward": 5, "rejected_reward": 1},
]


def select(data: Path, model: Path, *more: object, name: str = "chosen.jsonl") -> tuple[int, Path]:
    """The exit code, and the file of selected pairs."""
    out = data.parent / name
    words = [data, "--model", model, "--out", out, "--metric", "reward_margin", "--precision", "fp32", "--cache", data.parent, *more]
    try:
        cli.main(["data", "select", *map(str, words)])
    except SystemExit as ended:
        return int(ended.code or 0), out
    return 0, out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four rows: two are good, one lacks a response, the prompt of one is too long for a context of 100."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def test_rows_without_a_pair_and_prompts_without_room_are_set_aside_and_the_others_chosen_from(
    data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    code, out = select(data, tiny_model, "--fraction", 0.5, "--context", 100)
    screen = capsys.readouterr().out.replace("\n", " ")
    assert code == 0
    assert [json.loads(line)["chosen"] for line in out.read_text().splitlines()] == ["ox"]
    assert "rows.jsonl: prompt/chosen/rejected" in screen and "1 of 2 pairs kept by reward_margin" in screen
    aside = [json.loads(line) for line in out.with_suffix(".quarantine.jsonl").read_text().splitlines()]
    assert [row["where"] for row in aside] == [f"{data}:2", f"{data}:3"]
    assert "no `rejected`" in aside[0]["reason"] and aside[0]["row"] == ROWS[1]
    assert "leaves no room" in aside[1]["reason"]
    assert f"2 rows gave no pair; all are in {out.with_suffix('.quarantine.jsonl')}" in screen


def test_a_selection_reads_the_part_and_the_columns_that_are_asked_for(
    data: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Mock(side_effect=read_pairs)
    monkeypatch.setattr(selecting_files, "read_pairs", read)
    select(data, tiny_model, "--context", 100)
    named = ("--split", "train_prefs", "--limit", 3, "--config", "main", "--column", "chosen=rejected", "--column", "rejected=chosen")
    select(data, tiny_model, "--context", 100, *named)
    assert [call.args for call in read.call_args_list] == [(str(data), None, "train"), (str(data), 3, "train_prefs")]
    turned = {"chosen": "rejected", "rejected": "chosen"}
    assert [call.kwargs for call in read.call_args_list] == [{"config": None, "columns": {}}, {"config": "main", "columns": turned}]


def test_without_a_bad_row_nothing_is_set_aside(data: Path, tiny_model: Path) -> None:
    data.write_text("".join(json.dumps(row) + "\n" for row in (ROWS[0], ROWS[3])))
    code, out = select(data, tiny_model, "--fraction", 1.0)
    assert code == 0 and len(out.read_text().splitlines()) == 2
    assert not out.with_suffix(".quarantine.jsonl").exists()


def test_data_of_which_no_pair_fits_are_refused_with_the_first_reason(
    data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = select(data, tiny_model, "--context", 2)
    told = capsys.readouterr().err
    assert code == 2 and not out.exists()
    assert "none of 3 pairs fits" in told and f"{data}:1" in told.replace("\n", "")


def test_given_again_a_selection_replaces_all_that_it_wrote(data: Path, tiny_model: Path) -> None:
    assert select(data, tiny_model, "--context", 100)[0] == 0
    data.write_text("".join(json.dumps(row) + "\n" for row in (ROWS[0], ROWS[3])))
    code, out = select(data, tiny_model, "--fraction", 1.0)
    assert code == 0 and len(out.read_text().splitlines()) == 2
    assert out.with_suffix(".md").read_text().startswith("# 2 of 2 pairs")
    assert not out.with_suffix(".quarantine.jsonl").exists()


@pytest.mark.parametrize("beside", ["chosen.md", "chosen.quarantine.jsonl"])
def test_a_file_beside_the_pairs_that_no_selection_wrote_is_kept(
    beside: str, data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = data.with_name(beside)
    own.write_text('{"prompt": "my own"}\n')
    code, out = select(data, tiny_model)
    assert (code, out.exists(), own.read_text()) == (2, False, '{"prompt": "my own"}\n')
    assert "no selection wrote it" in capsys.readouterr().err


@pytest.mark.parametrize(("source", "name"), [("rows.jsonl", "rows.jsonl"), (".", "chosen.jsonl"), ("*.jsonl", "chosen.jsonl")])
def test_nothing_is_written_over_the_data_or_among_them(source: str, name: str, data: Path, tiny_model: Path) -> None:
    before = data.read_bytes()
    code, _ = select(data.parent / source, tiny_model, name=str(data.with_name(name)))
    assert (code, list(data.parent.iterdir()), data.read_bytes()) == (2, [data], before)


def test_the_pairs_never_have_the_name_of_their_page(data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = select(data, tiny_model, name="chosen.md")
    assert code == 2 and not out.exists()
    assert "chosen.jsonl" in capsys.readouterr().err

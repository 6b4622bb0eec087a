"""`daa data check` shows what training would see, refuses what its bounds forbid, and writes down every row without a pair."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from orchestrator import cli
from orchestrator.commands.data import bounds_of
from orchestrator.errors import UserError
from orchestrator.preferences.reading import read_pairs
from orchestrator.worlds.small_model import make_tokenizer

EXAMPLES = Path(__file__).resolve().parents[1] / "jobs" / "examples"
REST = 'evaluation.prompts = "prompts.jsonl"\njudge.kind = "verifier"\n'
REAL = Path(__file__).resolve().parents[2] / "shared/data/preference_text/alpaca_eval2_pairs.jsonl.gz"
ROWS = [
    {"prompt": "say fox", "chosen": "fox", "rejected": "the dog", "score_chosen": 2, "score_rejected": 1},
    {"prompt": "say ox", "chosen": "ox", "rejected": "ox", "score_chosen": 3, "score_rejected": 1},
    {"prompt": "say cat", "chosen": "cat"},
    {
        "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "rejected": [{"role": "assistant", "content": "c"}],
    },
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four rows, two of them pairs, two of them bad."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def run(*arguments: object) -> int:
    """The exit code of `daa data check` with these words."""
    try:
        cli.main(["data", "check", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The report as JSON, which is all that is printed."""
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_columns_under_other_names_are_named_on_the_command_line(data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.write_text('{"query": "say fox", "winner": "fox", "loser": "the dog"}\n')
    named = ("--column", "prompt=query", "--column", "chosen=winner", "--column", "rejected=loser")
    assert report(capsys, data, "--model", tiny_model, *named)["pairs"] == 1
    assert run(data, "--model", tiny_model, *named, "--column", "prompt=question") == 2
    assert "which none of the first 1 rows has" in capsys.readouterr().err
    assert run(data, "--model", tiny_model, "--column", "query") == 2
    assert "write NAME=COLUMN" in capsys.readouterr().err


def test_the_report_shows_findings_margins_and_pairs_and_says_what_was_read(
    data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "--model", tiny_model) == 0
    screen = capsys.readouterr().out
    # A long path is folded at the screen's width.
    folded = screen.replace("\n", "")
    assert "rows.jsonl: prompt/chosen/rejected, plain text" in screen
    assert "2 pairs of 4 rows, in a context of 2,048 tokens" in screen
    assert "prompt: <|user|>say fox<|end|><|assistant|>\nchosen: fox<|end|>\nrejected: the dog<|end|>" in screen
    assert f"{data}:3: this row has no `rejected`" in folded
    assert "reward margins, chosen minus rejected; mean 1.5" in screen
    assert "0 refusals, 3 warnings" in screen


def test_a_share_above_its_bound_is_refused_with_code_two_after_the_report(
    data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "--model", tiny_model, "--refuse", "identical=0.4,over_long=0") == 2
    screen = capsys.readouterr()
    assert "1 refusals" in screen.out
    assert "identical is 0.5, above 0.4" in screen.err
    assert run(data, "--model", tiny_model, "--refuse", "identical=0.5") == 0


def test_rows_without_a_pair_are_written_with_place_reason_and_content(data: Path, tiny_model: Path, tmp_path: Path) -> None:
    quarantine = tmp_path / "deep" / "quarantine.jsonl"
    assert run(data, "--model", tiny_model, "--quarantine", quarantine) == 0
    written = [json.loads(line) for line in quarantine.read_text().splitlines()]
    assert [row["where"] for row in written] == [f"{data}:3", f"{data}:4"]
    assert [row["row"] for row in written] == ROWS[2:]
    assert all(row["reason"] for row in written)


@pytest.mark.parametrize("name", ["rows.jsonl", "linked.jsonl", "sub/../rows.jsonl", "prompts.jsonl"])
def test_a_quarantine_never_takes_the_place_of_a_file_that_the_check_reads(
    name: str, data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data.parent / "sub").mkdir()
    (data.parent / "linked.jsonl").symlink_to(data)
    prompts = data.with_name("prompts.jsonl")
    prompts.write_text('{"prompt": "say fox"}\n')
    before = (data.read_bytes(), prompts.read_bytes())
    assert run(data, "--model", tiny_model, "--prompts", prompts, "--quarantine", data.parent / name) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert (data.read_bytes(), prompts.read_bytes()) == before


def test_machines_get_every_figure(data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Say fox!"}\n')
    found = report(capsys, data, "--model", tiny_model, "--context", 32, "--prompts", tmp_path / "prompts.jsonl")
    assert (found["pairs"], found["rows"], found["context"], found["refused"]) == (2, 4, 32, [])
    by_name = {finding["name"]: finding for finding in found["findings"]}
    assert by_name["evaluation_prompt"]["places"] == [f"{data}:1"]
    assert (by_name["identical"]["share"], by_name["identical"]["warning"]) == (0.5, True)
    assert sum(found["margins"]["counts"]) == 2
    assert found["notes"] == []


def test_an_address_that_no_settings_may_hold_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("https://me:canary@host/p.jsonl") == 2
    said = capsys.readouterr().err
    assert "DAA-0103" in said and "the command line" in said and "canary" not in said


def test_that_no_evaluation_prompts_were_looked_for_is_said(data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "name their files with --prompts FILE" in report(capsys, data, "--model", tiny_model, "--context", 32)["notes"][0]


def test_settings_name_what_the_command_line_does_not(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "say fox"}\n')
    (tmp_path / "run.toml").write_text(
        f'[model]\nbase = "{tiny_model}"\n[data]\ncontext = 48\n[[data.mixture]]\nsource = "{data}"\nlimit = 1\n'
        f'[evaluation]\nprompts = "{tmp_path / "prompts.jsonl"}"\n[judge]\nkind = "verifier"\n'
    )
    found = report(capsys, "--settings", tmp_path / "run.toml")
    assert (found["pairs"], found["context"]) == (1, 48)
    assert next(one for one in found["findings"] if one["name"] == "evaluation_prompt")["count"] == 1
    assert report(capsys, data, "--settings", tmp_path / "run.toml")["pairs"] == 2


def test_the_command_lines_limit_and_split_come_before_those_of_the_settings(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Mock(side_effect=read_pairs)
    monkeypatch.setattr("orchestrator.preferences.reading.read_pairs", read)
    file = tmp_path / "run.toml"
    file.write_text(f'model.base = "{tiny_model}"\ndata.train = "{data}"\ndata.split = "test"\ndata.limit = 2\n{REST}')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi", "answer": "x"}\n')
    counts = [report(capsys, "--settings", file, *more)["pairs"] for more in ([], ["--limit", 1], ["--split", "dev"])]
    assert counts == [2, 1, 2]
    assert [call.args for call in read.call_args_list] == [(str(data), 2, "test"), (str(data), 1, "test"), (str(data), 2, "dev")]


def test_settings_of_a_reward_model_name_data_and_model_as_well(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reward.toml"
    file.write_text(f'model.base = "{tiny_model}"\n[data]\ntrain = "{data}"\ncontext = 48\n')
    found = report(capsys, "--settings", file)
    assert (found["pairs"], found["context"]) == (2, 48)
    file.write_text(file.read_text() + "trian = 1\n")
    assert run("--settings", file) == 2
    assert "data.trian (line 5): unknown key" in capsys.readouterr().err


@pytest.mark.parametrize("example", ["demo.toml", "reward.toml"])
def test_a_world_has_no_data_before_a_run_begins_and_other_data_can_be_checked_beside_it(
    example: str, data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = EXAMPLES / example
    assert run("--settings", settings) == 2
    told = capsys.readouterr().err
    assert "no data are named: [world] makes them when a run begins" in told and "the settings.json of such a run" in told
    assert report(capsys, data, "--model", tiny_model, "--settings", settings)["pairs"] == 2


def test_a_tokenizer_without_weights_is_enough(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tokenizer(["say fox"], 300, 64).save_pretrained(tmp_path / "tokenizer")
    assert report(capsys, data, "--model", tmp_path / "tokenizer")["pairs"] == 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "no data are named"),
        (["rows.jsonl"], "no model is named"),
        (["absent.jsonl", "--model", "m"], "there is no data file absent.jsonl"),
        (["rows.jsonl", "--model", "m", "--refuse", "identicl=1"], "there is no check 'identicl'"),
    ],
)
def test_what_is_missing_is_said_with_its_cure(
    arguments: list[str], what: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data.parent)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert what in error and "cure:" in error


@pytest.mark.parametrize("word", ["identical=much", "identical=2", "identical=-1", "nothing=0.1"])
def test_a_bound_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(UserError):
        bounds_of([word])


def test_a_check_without_a_share_refuses_any() -> None:
    assert bounds_of(["identical", "truncated=0.1,one_sided=0.2"]) == {"identical": 0.0, "truncated": 0.1, "one_sided": 0.2}


@pytest.mark.skipif(not REAL.is_file(), reason="the real pairs are not on this machine")
def test_real_pairs_show_their_known_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_tokenizer(["The quick brown fox jumps over the lazy dog."], 400, 2048).save_pretrained(tmp_path / "tokenizer")
    found = report(capsys, REAL, "--model", tmp_path / "tokenizer", "--context", 8192, "--limit", 300)
    counts = {finding["name"]: finding["count"] for finding in found["findings"] if finding["count"]}
    assert found["pairs"] == 300
    assert counts.keys() <= {"chosen_longer", "truncated", "one_sided", "missing_end", "duplicate_prompts", "duplicate_pairs"}
    assert found["margins"]["edges"][0] > 0

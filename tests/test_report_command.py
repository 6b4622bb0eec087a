"""`daa report`: all forms beside the ledger, or one on the screen or in a file of its own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.report.files import differing_reports, write_reports
from orchestrator.search.ledger import read_ledger
from tests.report.searched import BEST, searched, write_ledger


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a small search."""
    (tmp_path / "run").mkdir()
    return searched(tmp_path / "run")


def test_the_report_is_written_in_three_forms_and_leaves_what_replay_compares_alone(run: Path) -> None:
    done = CliRunner().invoke(cli.app, ["report", str(run)])
    assert (done.exit_code, done.stdout) == (0, f"report: {run / 'report.html'}\n")
    assert BEST in (run / "report.html").read_text() and BEST in (run / "report.md").read_text()
    assert json.loads((run / "report.json").read_text())["verdict"]["best"]["trial"] == BEST
    assert not (run / "answer.json").exists() and not (run / "leaderboard.json").exists()


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"]])
def test_json_on_the_screen_is_nothing_but_json(arguments: list[str], run: Path) -> None:
    done = CliRunner().invoke(cli.app, ["report", str(run), *arguments])
    assert json.loads(done.stdout)["leaderboard"]["rows"][0]["trial"] == BEST
    assert not (run / "report.json").exists()


def test_a_report_may_be_written_elsewhere(run: Path, tmp_path: Path) -> None:
    CliRunner().invoke(cli.app, ["report", str(run), "--format", "markdown", "--out", str(tmp_path / "told" / "it.md")])
    assert (tmp_path / "told" / "it.md").read_text().startswith("# run\n")
    CliRunner().invoke(cli.app, ["report", str(run), "--out", str(tmp_path / "all")])
    assert {file.name for file in (tmp_path / "all").iterdir()} == {"report.html", "report.md", "report.json"}


@pytest.mark.parametrize("content", [b"", b'{"search": {', b"\xff\xfe\xff", b"[1]", b"[" * 100_000])
@pytest.mark.parametrize("command", [["report"], ["replay"], ["status"], ["search", "--resume"], ["submit", "--job", "search", "--resume"]])
def test_settings_that_are_damaged_are_named_with_their_cure(
    command: list[str], content: bytes, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(run))
    (run / "settings.json").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, str(run)])
    told = capsys.readouterr().err
    assert (ended.value.code, f"where: {run / 'settings.json'}" in told, "restore the file" in told) == (2, True, True)


@pytest.mark.parametrize("content", [None, b"", b'{"finalists": [', b"\xff\xfe\xff"])
@pytest.mark.parametrize("name", ["answer.json", "leaderboard.json"])
def test_a_report_that_is_not_there_or_damaged_is_not_what_the_ledger_makes(name: str, content: bytes | None, run: Path) -> None:
    write_reports(run)
    assert differing_reports(run) == []
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)
    assert differing_reports(run) == [name]


def test_the_reports_of_a_run_that_was_moved_are_what_its_ledger_makes_and_another_checkpoint_is_not(run: Path, tmp_path: Path) -> None:
    model = run / "checkpoints" / BEST / "step-000020" / "model"
    model.mkdir(parents=True)
    events = read_ledger(run / "ledger.jsonl")
    write_ledger(
        run, [event | ({"checkpoint": str(model)} if event["event"] == "score" and event["trial"] == BEST else {}) for event in events]
    )
    write_reports(run)
    moved = run.rename(tmp_path / "elsewhere")
    assert differing_reports(moved) == []
    for name in ("leaderboard.json", "answer.json"):
        (moved / name).write_text((moved / name).read_text().replace("step-000020", "step-000010"))
    assert differing_reports(moved) == ["leaderboard.json", "answer.json"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--format", "htm"], "did you mean 'html'?"),
        (["--serve", "0", "--json"], "a served page has one form"),
        (["--serve", "99999999"], "the port cannot be used"),
    ],
)
def test_a_mistake_is_refused_with_its_cure(
    arguments: list[str], what: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(run))
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", str(run), *arguments])
    assert ended.value.code == 2
    assert what in capsys.readouterr().err

"""The command line answers fast, and every mistake ends in a few lines that say what, where and how to cure it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.commands import searching
from orchestrator.errors import DataFormatError, UserError
from orchestrator.objectives import METHODS
from orchestrator.report.mistakes import explain
from tests.processor_time import is_quick

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / searching.DEMO
PAIR = {"prompt": "say fox", "chosen": "fox", "rejected": "dog"}


def daa(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a fresh process that works in `directory`."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def settings_file(directory: Path, model: Path, train: Path) -> Path:
    """Settings of a search on the user's own model and data."""
    (directory / "prompts.jsonl").write_text('{"prompt": "say fox", "answer": "fox"}\n')
    file = directory / "run.toml"
    file.write_text(
        f'[model]\nbase = "{model}"\n[data]\ntrain = "{train}"\n[evaluation]\nprompts = "{directory / "prompts.jsonl"}"\n'
        '[judge]\nkind = "verifier"\n'
    )
    return file


def explained(screen: str) -> str:
    """The log that a refusal names, after checking that it has what, where and cure, and nothing else."""
    shown = re.fullmatch(r"error DAA-\d{4}: \S.*\n  where: \S.*\n  cure:  \S.*\n  log:   (\S+)\n", screen)
    assert shown is not None, screen
    return Path(shown.group(1)).read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that holds a test's files and its logs."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_help_is_quick_and_lists_the_commands(tmp_path: Path) -> None:
    quick, done = is_quick(lambda: daa(tmp_path, "--help"))
    assert quick
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("demo", "doctor", "search", "train", "eval", "methods"))


def test_methods_lists_every_method_with_its_paper() -> None:
    listed = CliRunner().invoke(cli.app, ["methods"], env={"COLUMNS": "400"})
    assert listed.exit_code == 0
    lines = listed.stdout.splitlines()
    for name, method in METHODS.items():
        (line,) = [line for line in lines if line.strip(" │").split(" ")[0] == name]
        assert method.paper in line


@pytest.mark.parametrize("arguments", [[], ["run.toml", "--resume", "runs/one"]], ids=["neither", "both"])
def test_a_search_takes_either_a_file_or_a_directory_to_resume(
    arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["search", *arguments])
    screen = capsys.readouterr()
    assert ended.value.code == 2
    assert "give either a settings file or --resume DIR" in screen.err
    assert "Traceback" not in screen.out + screen.err
    explained(screen.err)


@pytest.mark.parametrize(("end", "code"), [("None", 0), ("sys.exit(2)", 2), ("sys.exit(0)", 0), ("sys.exit('why')", 1), ("1 / 0", 1)])
def test_a_command_ends_with_its_code_when_threads_and_what_others_do_at_the_end_are_done(end: str, code: int) -> None:
    program = f"""
import atexit, sys, threading, time
from orchestrator import cli
def main(arguments):
    atexit.register(print, "closed")
    threading.Thread(target=lambda: (time.sleep(0.3), print("joined"))).start()
    print("written", end=" ", flush=False)
    {end}
cli.main = main
cli.as_process(["methods"])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert done.stdout == "written joined\nclosed\n"
    assert ("why" in done.stderr, "ZeroDivisionError" in done.stderr) == ("why" in end, "/" in end)


def test_no_word_in_brackets_is_taken_for_a_colour_in_help() -> None:
    def words(command: Any) -> Iterator[str]:
        yield from (command.help or "", *(getattr(each, "help", None) or "" for each in command.params))
        for each in getattr(command, "commands", {}).values():
            yield from words(each)

    told = list(words(typer.main.get_command(cli.app)))
    assert len(told) > 100
    for text in told:
        assert Text.from_markup(text).plain == text.replace("\\[", "["), text


def test_an_unknown_option_ends_with_code_two(tmp_path: Path) -> None:
    done = daa(tmp_path, "search", "--sideways")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr


def test_a_search_without_its_data_file_is_refused_before_ray_starts(tmp_path: Path, tiny_model: Path) -> None:
    file = settings_file(tmp_path, tiny_model, tmp_path / "absent.jsonl")
    done = daa(tmp_path, "search", str(file), "--dir", "run")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert f"there is no data file {tmp_path / 'absent.jsonl'}" in done.stderr
    assert "where: data.train" in done.stderr
    log = explained(done.stderr)
    assert "Traceback (most recent call last)" in log and "DataFormatError" in log
    assert not (tmp_path / "run" / "ledger.jsonl").exists()


def refused_search(file: Path, capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What a search that is refused shows as its error, and its log."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["search", str(file), "--dir", str(file.parent / "run")])
    screen = capfd.readouterr()
    assert ended.value.code == 2
    assert "Traceback" not in screen.out + screen.err
    return screen.err, explained(screen.err)


def test_a_search_on_a_row_that_is_no_pair_is_refused_with_its_line(
    here: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = here / "pairs.jsonl"
    train.write_text(f"{json.dumps(PAIR)}\n{json.dumps({'prompt': 'say fox', 'rejected': 'dog'})}\n")
    error, log = refused_search(settings_file(here, tiny_model, train), capfd)
    assert "this row has no `chosen` (it has: prompt, rejected)" in error
    assert f"where: {train}:2" in error
    assert "DataFormatError" in log


def test_a_search_on_a_directory_that_is_no_model_is_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "model").mkdir()
    (here / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n")
    error, log = refused_search(settings_file(here, here / "model", here / "pairs.jsonl"), capfd)
    assert "this directory is no model: it has no config.json" in error
    assert f"where: {here / 'model'}" in error
    assert "ModelError" in log


def test_a_search_never_writes_into_the_directory_of_another(here: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "run").mkdir()
    (here / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n")
    for there in ("ledger.jsonl", "settings.json"):
        (here / "run" / "ledger.jsonl").touch()
        (here / "run" / there).write_text("{}\n")
        error, _ = refused_search(settings_file(here, tiny_model, here / "pairs.jsonl"), capfd)
        assert error.startswith("error DAA-0710: this directory already holds a search")
        assert "--resume" in error
        (here / "run" / there).unlink()


def test_a_search_that_was_killed_before_it_wrote_anything_down_is_none(
    here: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "run").mkdir()
    (here / "run" / "ledger.jsonl").touch()
    (here / "pairs.jsonl").write_text("no pair\n")
    error, _ = refused_search(settings_file(here, tiny_model, here / "pairs.jsonl"), capfd)
    assert "DAA-02" in error


def test_resuming_where_no_search_was_started_is_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["search", "--resume", str(here)])
    error = capfd.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("error DAA-0711: there is no search to resume")
    explained(error)


def test_a_fault_of_our_own_ends_with_code_one_and_its_place_in_the_log(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError("a secret detail [/bold]")

    monkeypatch.setattr(Console, "print", _unless_a_table(Console.print, broken))
    with pytest.raises(SystemExit) as ended:
        cli.main(["methods"])
    screen = capsys.readouterr()
    assert ended.value.code == 1
    assert "unexpected: ZeroDivisionError('a secret detail [/bold]')" in screen.err
    assert "Traceback" not in screen.out + screen.err
    (log,) = here.glob("daa-error-*.log")
    assert str(log) in screen.err
    assert "in broken" in log.read_text()


@pytest.mark.parametrize("error", [UserError, DataFormatError])
def test_a_message_with_square_brackets_is_shown_as_it_is(error: type[UserError], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain(error("[world] is [/odd]", "[red]here", "see [search]"), ValueError())
    assert capsys.readouterr().err.startswith(f"error {error.code}: [world] is [/odd]\n  where: [red]here\n  cure:  see [search]\n")


def _unless_a_table(plain: object, broken: object) -> object:
    from rich.table import Table

    def choose(console: Console, *objects: object, **options: object) -> None:
        (broken if isinstance(objects[0], Table) else plain)(console, *objects, **options)  # pyright: ignore[reportCallIssue]

    return choose


@pytest.mark.parametrize(
    ("words", "what", "cure"),
    [
        (["eval", "m", "--benchmark", "alpaca_eval2"], "no judge is named", "--judge vllm:DIR"),
        (["eval", "m", "--benchmark", "alpaca_eval2", "--judge", "gpt"], "there is no judge 'gpt'", "KIND:MODEL"),
        (["eval", "m", "--benchmark", "alpaca_eval2", "--judge", "http://h/v1"], "names no model", "#model"),
        (
            ["eval", "m", "--benchmark", "arena_hard", "--judge", "openai:x"],
            "arena_hard has 2 versions",
            "arena_hard_v0.1 or arena_hard_v2.0",
        ),
        (["eval", "m"], "nothing is asked of the models", "--capability TASK, or --settings FILE"),
        (["eval", "m", "--judge", "openai:x"], "nothing is asked of the models", "add --benchmark NAME"),
        (["eval", "m", "--settings", str(DEMO), "--limit", "5"], "own prompts are all answered", "a shorter file"),
        (["eval", "m", "--settings", str(DEMO), "--judge", "gpt"], "there is no judge 'gpt'", "KIND:MODEL"),
        (["eval", "http://h/v1#m", "--capability", "gms8k"], "no task 'gms8k'", "lm-eval ls tasks"),
        (["eval", __file__, "--capability", "gsm8k"], "cannot be asked what it knows", "leave out `capability`"),
        (["compare", "a.json", "b.json", "--benchmark", "mt_bench"], "there is no file", "judgment"),
        (["leaderboard", "a.json", "--benchmark", "helm"], "there is no benchmark 'helm'", "mt_bench"),
    ],
)
def test_a_benchmark_run_that_cannot_be_is_refused_with_its_cure(
    words: list[str], what: str, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert what in told
    assert cure in told


@pytest.mark.parametrize(
    ("words", "what", "cure"),
    [
        (["runs/typo"], "there is no directory runs/typo", "a job that `daa status` lists"),
        (["runs/typo", "--web"], "there is no directory runs/typo", "the directory of a search"),
        (["jobs", "--follow"], "no job is named", "daa status DIR --web"),
        (["/shared/runs/a", "--follow"], "no job is named", "daa status JOB --follow"),
        (["--follow"], "no job is named", "daa status JOB --follow"),
    ],
)
def test_a_status_that_cannot_be_shown_or_followed_is_refused_before_any_cluster_is_asked(
    words: list[str], what: str, cure: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "jobs").mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(SystemExit) as end:
        cli.main(["status", *words, "--address", "http://127.0.0.1:9"])
    told = capsys.readouterr().err
    assert (end.value.code, what in told, cure in told) == (2, True, True)


@pytest.mark.parametrize("number", ["0", "-5"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        *((["data", "check", "absent.jsonl", "--model", "m"], option) for option in ("--limit", "--context")),
        *((["data", "select", "a", "--metric", "random", "--out", "b"], option) for option in ("--limit", "--context")),
        *((["generate", "m", "--prompts", "absent.jsonl"], option) for option in ("--limit", "--max-model-len", "--engines")),
    ],
)
def test_a_count_below_one_is_refused(words: list[str], option: str, number: str) -> None:
    refused = CliRunner().invoke(cli.app, [*words, option, number])
    assert refused.exit_code == 2 and f"Invalid value for '{option}'" in refused.output


@pytest.mark.parametrize(("gpu", "turns", "workers"), [(None, False, 2), ("H100", True, 1)])
def test_the_demo_runs_wherever_it_is_started_and_on_one_gpu_where_there_are_some(
    gpu: str | None, turns: bool, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[Any] = []
    monkeypatch.setattr("orchestrator.cluster.surveying.gpu_of_cluster", lambda: gpu)
    monkeypatch.setattr("orchestrator.cluster.runs.search.search", lambda settings, directory: played.append(settings.cluster))
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli.app, ["demo"]).exit_code == 0
    (cluster,) = played
    assert (cluster.turns, cluster.workers, cluster.gpus_per_worker > 0, cluster.gpus_per_engine > 0) == (turns, workers, turns, turns)

"""What is told of how a search was started is enough to start it again."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.search.origin import command, git_state, origin
from orchestrator.search.plan import SearchPlan
from tests.search import events as made

ROOT = Path(__file__).resolve().parents[2]


def git(directory: Path, *arguments: str) -> None:
    """A git command in a checkout of the test's own."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", "-C", str(directory), *who, *arguments], check=True, capture_output=True)


def test_a_command_is_told_as_a_shell_takes_it_again() -> None:
    assert command(["/usr/bin/daa", "search", "my runs/one.toml", "--dir", "x"]) == "daa search 'my runs/one.toml' --dir x"
    assert command([str(ROOT / "orchestrator" / "cli.py"), "demo"]) == "daa demo"
    assert command([str(ROOT / "jobs" / "search.py"), "a.toml"]) == "python -m jobs.search a.toml"


def test_a_command_is_told_without_the_secrets_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-openai-1")
    words = ["--hf-token", "canary", "--key=canary", "api_key=canary", "x=canary-openai-1", "--max-tokens", "64", "--auth", "--dir", "x"]
    told = "mine.py --hf-token ... --key=... api_key=... 'x=$OPENAI_API_KEY' --max-tokens 64 --auth --dir x"
    assert command(["mine.py", *words]) == told


def test_uncommitted_changes_are_told_apart_and_a_directory_without_git_has_no_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-b", "main")
    (tmp_path / "code.py").write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = git_state(tmp_path)
    assert clean is not None
    assert (clean["branch"], clean["changes"], clean["untracked"], len(clean["commit"])) == ("main", None, 0, 40)
    changes = []
    for text in ("two\n", "three\n"):
        (tmp_path / "code.py").write_text(text)
        changed = git_state(tmp_path)
        assert changed is not None and changed["commit"] == clean["commit"]
        changes.append(changed["changes"])
    assert None not in changes and changes[0] != changes[1]


def test_a_plan_carries_the_origin_into_the_ledger_and_plans_of_older_ledgers_have_none() -> None:
    told = origin()
    assert told.keys() == {"command", "directory", "python", "platform", "git"}
    plan = SearchPlan.of({**made.began(), "origin": told})
    assert plan.origin == told and SearchPlan.of(plan.as_dict()) == plan
    assert SearchPlan.of(made.began()).origin == {}

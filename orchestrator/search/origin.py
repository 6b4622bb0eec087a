"""How a search was started: all that one needs, beside its settings, to start it again."""

import hashlib
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 10


def origin() -> dict[str, Any]:
    """The command, the directory it was given in, Python, the machine's kind and the state of the code; plain JSON values."""
    return {
        "command": command(sys.argv),
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git": git_state(_PROJECT),
    }


def command(arguments: list[str]) -> str:
    """A command line as a shell takes it; a module that was run with -m is told by its name."""
    program, rest = Path(arguments[0]), arguments[1:]
    if program.parent == _PROJECT / "jobs":
        return shlex.join(["python", "-m", f"jobs.{program.stem}", *rest])
    return shlex.join(["daa" if program.name in {"daa", "cli.py"} else arguments[0], *rest])


def git_state(directory: Path) -> dict[str, Any] | None:
    """Commit and branch of a checkout, and what tells its uncommitted changes apart; None where there is no git or no checkout.

    `changes` is the SHA-256 of the difference of tracked files to the commit, None where there is none; `untracked` counts other files.
    """
    commit = _git(directory, "rev-parse", "HEAD")
    if commit is None:
        return None
    branch, difference = _git(directory, "rev-parse", "--abbrev-ref", "HEAD"), _git(directory, "diff", "HEAD")
    others = _git(directory, "ls-files", "--others", "--exclude-standard")
    return {
        "commit": commit.strip(),
        "branch": (branch or "").strip(),
        "changes": hashlib.sha256(difference.encode()).hexdigest() if difference else None,
        "untracked": len((others or "").splitlines()),
    }


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, errors="replace", check=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout

"""How a search was started: all that one needs, beside its settings, to start it again."""

import hashlib
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.secrets import redacted

_PROJECT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 10
# Of an option or a setting, as in --hf-token and api_key; --max-tokens holds none.
_SECRET = re.compile(r"(?:^|[-_])(?:(?:api)?key|token|secret|password|passphrase|credentials?|auth)$", re.IGNORECASE)


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
    """A command line as a shell takes it, save what is secret; a module that was run with -m is told by its name."""
    program, rest = Path(arguments[0]), list(_without_secrets(arguments[1:]))
    if program.parent == _PROJECT / "jobs":
        return shlex.join(["python", "-m", f"jobs.{program.stem}", *rest])
    return shlex.join(["daa" if program.name in {"daa", "cli.py"} else arguments[0], *rest])


def _without_secrets(arguments: list[str]) -> Iterator[str]:
    """The words of a command, with dots for the values of what is named like a secret."""
    is_secret = False
    for word in arguments:
        name, equals, _ = word.partition("=")
        if is_secret and not word.startswith("-"):
            yield "..."
        else:
            yield f"{name}=..." if equals and _SECRET.search(name) else redacted(word)
        is_secret = word.startswith("-") and bool(_SECRET.search(word))


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

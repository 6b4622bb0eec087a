"""What a search leaves for people and programs, all from its ledger: leaderboard.json, answer.json and the report in three forms."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evals.whole_files import replacing
from orchestrator.errors import UserError
from orchestrator.report.page.html import page, rounded
from orchestrator.report.page.markdown import markdown
from orchestrator.report.page.run import Run
from orchestrator.report.page.sections import told
from orchestrator.report.telling import answer_ready
from orchestrator.run_files import RunFiles
from orchestrator.search.kept import read_kept_value
from orchestrator.search.leaderboard import Row, leaderboard
from orchestrator.search.ledger import read_ledger


def as_json(run: Run) -> str:
    """All sections of the report, the drawn ones as numbers."""
    return json.dumps(rounded(told(run)), indent=2, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, tuple[str, Callable[[Run], str]]] = {
    "html": ("report.html", page),
    "markdown": ("report.md", markdown),
    "json": ("report.json", as_json),
}


def write_reports(directory: Path) -> list[Row]:
    """Write leaderboard.json, answer.json and the report of a run's directory; returns the leaderboard."""
    run = Run.read(directory)
    write(directory / "leaderboard.json", json.dumps([row.as_dict() for row in run.rows], indent=2, ensure_ascii=False) + "\n")
    write(directory / "answer.json", json.dumps(run.answer, indent=2, ensure_ascii=False) + "\n")
    write_report(run, directory)
    return list(run.rows)


def write_report(run: Run, directory: Path) -> Path:
    """Write the report in all its forms; returns the page."""
    for name, made in FORMATS.values():
        write(directory / name, made(run))
    return directory / FORMATS["html"][0]


def differing_reports(directory: Path) -> list[str]:
    """The reports of a run's directory that are not there, or not, to the last digit, what its ledger makes.

    The directory may have been moved since they were written: of checkpoints in a run's directory the path from there on counts.
    """
    events = read_ledger(RunFiles(directory).ledger)
    rows = leaderboard(events)
    computed = {"leaderboard.json": [row.as_dict() for row in rows], "answer.json": answer_ready(events, rows)}
    return [name for name, value in computed.items() if not _holds(directory / name, json.loads(json.dumps(value)))]


def _holds(file: Path, value: Any) -> bool:
    try:
        return _without_place(read_kept_value(file)) == _without_place(value)
    except UserError:
        return False


def _without_place(value: Any) -> Any:
    """The same with each checkpoint's path from the run's directory on."""
    if isinstance(value, Mapping):
        return {
            key: _inside(part) if key == "checkpoint" and isinstance(part, str) else _without_place(part) for key, part in value.items()
        }
    return [_without_place(part) for part in value] if isinstance(value, list) else value


def _inside(checkpoint: str) -> str:
    return "".join(checkpoint.rpartition("/checkpoints/")[1:])


def write(file: Path, text: str) -> None:
    """Put the text in the file's place, whole."""
    with replacing(file) as content:
        content.write(text)

"""How a search's directory is left, however the search ends: with its reports, and without what nobody needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.report.files import write_reports
from orchestrator.report.narration import Narrator
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board
from orchestrator.search.leaderboard import Row
from orchestrator.search.ledger import read_ledger
from orchestrator.training.tidying import keep_only


@contextmanager
def reported_before_leaving(directory: Path, story: Narrator) -> Iterator[None]:
    """Write the reports of a search that is stopped while Ray is still there, which may end the process while it is left."""
    try:
        yield
    except BaseException:
        if not is_left_before_it_began(directory):
            reports(directory, story)
        raise


def reports(directory: Path, story: Narrator) -> list[Row]:
    """Write the reports, also when something else went wrong: a disk that has no room for them must not hide what that was."""
    try:
        return write_reports(directory) if RunFiles(directory).ledger.exists() else []
    except OSError as error:
        story.say_path(f"the reports could not be written ({error.strerror}):", directory)
        return []


def unclaim(directory: Path) -> None:
    """Let the next search use a directory in which this one was left before it began: there is nothing to resume."""
    if is_left_before_it_began(directory):
        RunFiles(directory).ledger.unlink()


def is_left_before_it_began(directory: Path) -> bool:
    """Whether a search was left in a directory, by being killed too, before it wrote anything down."""
    files = RunFiles(directory)
    return files.ledger.exists() and not files.ledger.stat().st_size and not files.settings.exists()


def tidy(directory: Path, max_attempts: int) -> None:
    """Delete what workers wrote for trials that were dropped meanwhile."""
    board = Board.rebuilt(read_ledger(RunFiles(directory).ledger), max_attempts)
    for trial, record in board.records.items():
        if record.status.is_over:
            keep_only(RunFiles(directory).trial(trial), board.steps_to_keep(trial))

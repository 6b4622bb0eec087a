"""A replayed search, for the screen."""

from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.report.files import differing_reports
from orchestrator.report.terminal import show
from orchestrator.run_files import RunFiles
from orchestrator.search.kept import read_kept
from orchestrator.search.replay import replay
from orchestrator.settings_file import check_settings

_MOST_SHOWN = 20


def replay_and_tell(directory: Path) -> bool:
    """Replay the search in `directory` and say what came out; True when every number is the same. Raises UserError (see replay)."""
    file = RunFiles(directory).settings
    if not file.is_file():
        raise UserError("there is no search to replay: no settings.json", str(directory), "give the directory of a search")
    found = replay(directory, check_settings(read_kept(file), str(file)))
    reports = differing_reports(directory)
    show(f"{found.scorecards} scorecards, {found.decisions} decisions of the race, leaderboard.json and answer.json computed again")
    for each in found.mismatches[:_MOST_SHOWN]:
        show(f"{each.what}: {each.written} is written, {each.computed} comes out")
    for name in reports:
        show(f"{name} is not what the ledger makes")
    if not found.mismatches and not reports:
        show("all of them are the same to the last digit")
    return not found.mismatches and not reports

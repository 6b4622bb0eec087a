"""The table of a leaderboard shows every row, ours marked, and says what may not be compared."""

from io import StringIO

from rich.console import Console

from evals.benchmarks.leaderboards import BOARDS, Placed
from orchestrator.report.placement import placement_table

THEIRS = Placed(1, "theirs", 80.0, "j", False, 75.0, 85.0, 2049.0)
OURS = Placed(2, "[mine]", 70.0, "mild", True, 65.0, 75.0, None, 1, 3, "not comparable: judged by mild, the published ones by j")


def printed(board: str, rows: list[Placed], width: int = 200) -> str:
    screen = Console(file=StringIO(), width=width)
    screen.print(placement_table(BOARDS[board], rows))
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


def test_our_row_has_an_asterisk_its_ranks_and_its_interval() -> None:
    text = printed("alpaca_eval2", [THEIRS, OURS])
    for part in (
        "AlpacaEval 2",
        "length-controlled win rate, % (interval)",
        "length, characters",
        "2 (1–3)",
        "* [mine]",
        "70.00 (65.00–75.00)",
    ):
        assert part in text
    assert "* theirs" not in text


def test_what_may_not_be_compared_is_shown_and_said() -> None:
    assert "* [mine]: not comparable: judged by mild, the published ones by j" in printed("mt_bench", [THEIRS, OURS])


def test_an_unknown_interval_or_length_is_left_blank() -> None:
    text = printed("alpaca_eval2", [THEIRS, Placed(3, "c", 60.0, "j", False)])
    assert "60.00" in text
    assert "60.00 (" not in text
    assert "None" not in text
    assert "length" not in printed("mt_bench", [OURS])


def test_in_a_narrow_terminal_no_name_loses_a_letter() -> None:
    name = "a-model-with-a-rather-long-name-0123456789"
    text = printed("alpaca_eval2", [Placed(1, name, 80.0, "j", False, 75.0, 85.0, 2049.0)], width=60)
    assert "…" not in text
    columns = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert "".join(cells[1] for cells in columns) == name

"""Comparisons as a table for the screen."""

from io import StringIO

from rich.console import Console

from orchestrator.report.scores import comparisons_table

NUMBERS = {"difference": 1.0, "low": -1.0, "high": 3.0, "p": 0.3, "detectable": 2.0, "prompts": 9}
ROW = {"benchmark": "arena_hard", "category": "math", "model": "a", "against": "b", **NUMBERS}


def test_judges_are_named_where_there_are_several() -> None:
    assert "judge" not in printed([ROW, {**ROW, "model": "c"}]) and "judge" not in printed([{**ROW, "judge": "one"}])
    table = printed([{**ROW, "judge": "one[/x]"}, {**ROW, "judge": "two"}])
    assert "judge" in table and "one[/x]" in table and "two" in table


def printed(rows: list[dict[str, object]]) -> str:
    console = Console(file=StringIO(), width=160)
    with console.capture() as captured:
        console.print(comparisons_table(rows))
    return captured.get()

"""Scores and comparisons as tables for the screen."""

from io import StringIO
from typing import Any

from rich.console import Console

from orchestrator.report.scores import comparisons_table, scores_table

NUMBERS = {"difference": 1.0, "low": -1.0, "high": 3.0, "p": 0.3, "detectable": 2.0, "prompts": 9}
ROW = {"benchmark": "arena_hard", "category": "math", "model": "a", "against": "b", **NUMBERS}


def test_judges_are_named_where_there_are_several() -> None:
    assert "judge" not in printed([ROW, {**ROW, "model": "c"}]) and "judge" not in printed([{**ROW, "judge": "one"}])
    table = printed([{**ROW, "judge": "one[/x]"}, {**ROW, "judge": "two"}])
    assert "judge" in table and "one[/x]" in table and "two" in table


def test_a_p_value_is_never_zero() -> None:
    assert "<0.001" in printed([{**ROW, "p": 0.0}]) and "0.001 " in printed([{**ROW, "p": 0.001}])


INTERVAL = {"score": 25.25, "low": 21.9, "high": 28.6, "standard_error": 1.7}
SCORE = {"model": "m", "judge": "j", "judged": 9, "unreadable": 0, "file": "", **INTERVAL}
ALPACA = {**SCORE, "benchmark": "alpaca_eval2", "length_controlled_winrate": 25.25, "win_rate": 15.73, "avg_length": 1096}
AT_EQUAL_STYLE = {"style_controlled": 31.5, "style_controlled_low": 28.0, "style_controlled_high": 35.0}
ARENA = {**SCORE, "benchmark": "arena_hard", "category": "hard_prompt", **AT_EQUAL_STYLE, "mean_length": 812.0, "unfinished": 0.25}


def test_a_row_of_scores_says_which_benchmark_and_which_figure_it_is() -> None:
    text = printed([ALPACA, ARENA], scores_table)
    assert "alpaca_eval2 (LC win rate)" in text and "arena_hard hard_prompt" in text
    assert "15.73" in text and "1,096" in text and "812 (25.0 % cut off)" in text
    assert "style-controlled (95 %)" in text and "31.50 (28.00–35.00)" in text
    bare = printed([{**SCORE, "benchmark": "mt_bench"}], scores_table)
    assert "mt_bench" in bare and not any(name in bare for name in ("win rate", "length", "style"))


def printed(rows: list[dict[str, Any]], table: Any = comparisons_table) -> str:
    console = Console(file=StringIO(), width=200)
    with console.capture() as captured:
        console.print(table(rows))
    return captured.get()

"""`daa score`, `daa compare` and `daa leaderboard`: figures from official files, anybody's."""

from pathlib import Path
from typing import Annotated

import typer

OfFiles = Annotated[str, typer.Option("--benchmark", help="alpaca_eval2, arena_hard (or arena_hard_v0.1, arena_hard_v2.0) or mt_bench.")]


def score(
    files: Annotated[list[Path], typer.Argument(help="annotations.json of AlpacaEval 2, or judgment files of Arena-Hard or MT-Bench.")],
    benchmark: OfFiles,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Recompute a benchmark's scores from official files, anybody's, each with its error and 95 % interval.

    Example: daa score --benchmark arena_hard model_judgment/gpt-4.1/my-model.jsonl
    """
    from evals.benchmarks import recompute

    rows = recompute.score_files(benchmark, files)
    if as_json:
        print(recompute.as_json(rows))
        return
    from orchestrator.report.scores import scores_table
    from orchestrator.report.terminal import show

    show(scores_table(rows))


def compare(
    first: Annotated[Path, typer.Argument(help="Annotations or judgments of one model.")],
    second: Annotated[Path, typer.Argument(help="Those of the other, by the same judge.")],
    benchmark: OfFiles,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Compare two models on the same prompts: the difference, its error, p, and the smallest difference so many prompts can show.

    Example: daa compare --benchmark alpaca_eval2 run/one/annotations.json run/two/annotations.json
    """
    from evals.benchmarks import recompute

    rows = recompute.compare_files(benchmark, first, second)
    if as_json:
        print(recompute.as_json(rows))
        return
    from orchestrator.report.scores import comparisons_table
    from orchestrator.report.terminal import show

    show(comparisons_table(rows))


def leaderboard(
    files: Annotated[list[Path], typer.Argument(help="annotations.json of AlpacaEval 2, or judgment files of Arena-Hard or MT-Bench.")],
    benchmark: OfFiles,
) -> None:
    """Place models among the published rows of a leaderboard.

    Example: daa leaderboard --benchmark alpaca_eval2 runs/eval/alpaca_eval2/my-model/annotations.json
    """
    from evals.benchmarks import recompute
    from evals.benchmarks.leaderboards import BOARDS, by_board, place, published
    from orchestrator.report.placement import placement_table
    from orchestrator.report.plain_text import visible
    from orchestrator.report.terminal import show

    scores = [found for file in files for found in recompute.scores_of(benchmark, file)]
    on_boards, left_out = by_board(scores)
    for board, ours in on_boards.items():
        show(placement_table(BOARDS[board], place(ours, published(board, ours[0].judge))))
    for note in left_out:
        print(visible(note))

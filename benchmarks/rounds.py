"""Do two rounds raise the win rate, each over the one before? Recipes of jobs/examples on the demo's world, over seeds.

    python benchmarks/rounds.py --seeds 3 --recipe iterative_dpo --recipe simpo_on_policy

Each seed is a run of `daa rounds` with its own seeds of training and generation. At the end the table of each recipe: every round's win
rate against the base model, the mean over seeds with Student's 95 % interval, and the gain over the round before, on the same prompts.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from evals.comparison import compare_verdicts
from evals.statistics import student_quantile

PROJECT = Path(__file__).resolve().parent.parent
EXAMPLES = PROJECT / "jobs" / "examples"


def main() -> None:
    """Run what is missing, then print the tables."""
    given = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    given.add_argument("--seeds", type=int, default=3)
    given.add_argument("--recipe", action="append", default=None)
    given.add_argument("--rounds", type=int, default=None, help="Default: the recipe's.")
    given.add_argument("--dir", type=Path, default=Path("runs/rounds"))
    options = given.parse_args()
    for recipe in options.recipe or ["iterative_dpo"]:
        runs = [played(recipe, seed, options.rounds, options.dir.resolve()) for seed in range(options.seeds)]
        print(f"\n{recipe}, {len(runs)} seeds\n\n{table(runs)}", flush=True)


def played(recipe: str, seed: int, rounds: int | None, directory: Path) -> list[dict[str, Any]]:
    """The rounds of a recipe under a seed, from its directory where they are there."""
    place = directory / f"{recipe}-{seed}"
    settings = place / "recipe.toml"
    place.mkdir(parents=True, exist_ok=True)
    settings.write_text(seeded((EXAMPLES / f"{recipe}.toml").read_text(), seed, rounds))
    command = [sys.executable, "-m", "orchestrator.cli", "rounds", str(settings), "--dir", str(place / "run")]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return json.loads((place / "run" / "rounds.json").read_text())


def seeded(text: str, seed: int, rounds: int | None) -> str:
    """The recipe under another seed, on all of the world's prompts: those of a search and those that are held out."""
    for old, new in (
        ("[training]", f"[training]\nseed = {seed}"),
        ("generation = { ", f"generation = {{ seed = {1000 * seed}, "),
        ('world.kind = "tasks"', 'world = { kind = "tasks", search_prompts = 600 }'),
    ):
        text = text.replace(old, new)
    return text if rounds is None else re.sub(r"^count = \d+$", f"count = {rounds}", text, flags=re.MULTILINE)


def table(runs: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """A row for each round."""
    rows = [
        "| round | win rate % of each seed | mean (95 %) | over the round before, each seed (95 %) | mean (95 %) |",
        "|---|---|---|---|---|",
    ]
    for number in range(len(runs[0])):
        rates = [run[number]["scorecard"]["win_rate"] for run in runs]
        told = f"| {number + 1} | {', '.join(f'{rate:.1f}' for rate in rates)} | {interval(rates)} |"
        gains = [compare_verdicts(run[number]["verdicts"], run[number - 1]["verdicts"]) for run in runs] if number else []
        each = ", ".join(f"{gain.difference:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})" for gain in gains)
        rows.append(f"{told} {each} | {interval([gain.difference for gain in gains]) if gains else ''} |")
    return "\n".join(rows)


def interval(values: Sequence[float]) -> str:
    """The mean with Student's 95 % interval over seeds."""
    if len(values) < 2:
        return f"{fmean(values):.1f}"
    half = student_quantile(len(values) - 1, 0.95) * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.1f} ({fmean(values) - half:.1f} to {fmean(values) + half:.1f})"


if __name__ == "__main__":
    main()

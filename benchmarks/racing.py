"""What racing saves and what it risks, beside full evaluation and halving, on real verdicts and in simulated searches.

`python benchmarks/racing.py --data DIR`, where DIR holds alpaca_eval2/public/annotations.csv.gz: verdicts of one judge on many models
and the same prompts. A search here is a choice among `arms` models, which are all trained: what is spent is judgments.
"""

import csv
import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from evals.benchmarks.files import DATA_VARIABLE
from orchestrator.search.racing import GO_ON, Rules, compare, rungs

PROMPTS = 805
Matrix = npt.NDArray[np.float64]
Search = tuple[Matrix, Matrix]  # Verdicts, arms by prompts, and each arm's true win rate, in [0, 1].
# Verdicts of arms of equal strength correlate by 0.5, as those of real models do; win rates have a standard deviation of 5 points.
LATENT_CORRELATION, LATENT_SPREAD = 0.65, 0.14


@dataclass(frozen=True)
class Strategy:
    """How trials leave: as surely worse at an error rate, by so many standard errors behind the leader, or the worse half each time.

    The rules may take the trials for fewer than they are (`taken_for`).
    """

    error_rate: float = 1e-300
    doubt: float = math.inf
    halves: bool = False
    growth: float = 2.0
    taken_for: int | None = None

    def rules(self, arms: int) -> Rules:
        """The race's rules."""
        return Rules(rungs(1, PROMPTS, self.growth), self.taken_for or arms, self.error_rate, doubt=self.doubt)


STRATEGIES = {
    "full evaluation": Strategy(growth=1.0),
    "halving": Strategy(halves=True),
    "racing, the surely worse leave": Strategy(error_rate=0.05),
    "racing, doubt 2": Strategy(error_rate=0.05, doubt=2.0),
    "racing, doubt 1.5": Strategy(error_rate=0.05, doubt=1.5),
    "racing, doubt 1": Strategy(error_rate=0.05, doubt=1.0),
}


@dataclass(frozen=True)
class Picked:
    """One search's end: points lost against the best arm, the share of all judgments that was used, and whether the best was dropped."""

    regret: float
    share: float
    dropped_best: bool


@dataclass(frozen=True)
class Row:
    """Many searches in one row: percentages of searches, points, and percent of full evaluation's judgments."""

    world: str
    strategy: str
    within_a_point: float
    regret: float
    judgments: float
    errors: float
    searches: int


def race(verdicts: Matrix, truth: Matrix, strategy: Strategy) -> Picked:
    """One search: every arm that is left is scored on each rung, and then decided on."""
    arms, best = len(truth), int(truth.argmax())
    rules = strategy.rules(arms)
    left, asked, wrongly = list(range(arms)), np.zeros(arms, dtype=int), False
    listed = [row.tolist() for row in verdicts]
    for rung in rules.rungs:
        asked[left] = rung.prompts
        leader = max(left, key=lambda arm: verdicts[arm, : rung.prompts].mean())
        rivals = [arm for arm in left if arm != leader]
        decisions = {arm: compare(listed[arm], str(leader), listed[leader], rung, rules) for arm in rivals} | {leader: GO_ON}
        wrongly |= decisions.get(best, GO_ON).reason.startswith("surely")
        left = [arm for arm in left if decisions[arm].goes_on]
        if strategy.halves:
            left = sorted(left, key=lambda arm: -verdicts[arm, : rung.prompts].mean())[: max(1, len(left) // 2)]
    pick = max(left, key=lambda arm: verdicts[arm, : asked[arm]].mean())
    return Picked(100 * float(truth.max() - truth[pick]), float(asked.sum() / (arms * PROMPTS)), wrongly)


def real_verdicts(data: Path) -> Matrix:
    """Verdicts in [0, 1], models by prompts, of the models that were judged on all prompts; the baseline itself is left out."""
    found: dict[str, dict[int, float]] = {}
    with gzip.open(data / "alpaca_eval2/public/annotations.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            score = float(row["preference"])
            found.setdefault(row["model"], {})[int(row["index"])] = (score or 1.5) - 1
    whole = [scores for model, scores in sorted(found.items()) if len(scores) == PROMPTS and model != "gpt4_1106_preview"]
    return np.array([[scores[index] for index in range(PROMPTS)] for scores in whole])


def of_real_models(real: Matrix, arms: int) -> Callable[[np.random.Generator], Search]:
    """Some of the models, on prompts drawn from the real ones: the truth is their mean on all of those."""

    def draw(chance: np.random.Generator) -> Search:
        chosen = real[chance.choice(len(real), arms, replace=False)]
        return chosen[:, chance.integers(0, PROMPTS, PROMPTS)], chosen.mean(axis=1)

    return draw


def apart(arms: int, spread: float) -> Callable[[np.random.Generator], Matrix]:
    """Strengths of one normal distribution."""
    return lambda chance: spread * chance.standard_normal(arms)


def calibrated(real: Matrix, strengths: Callable[[np.random.Generator], Matrix]) -> Callable[[np.random.Generator], Search]:
    """Arms whose verdicts are distributed as those of the strongest real models and correlate as much; their strengths are drawn."""
    strongest = np.sort(real[np.argsort(real.mean(axis=1))[-8:]].ravel())
    own = np.sqrt(1 - LATENT_CORRELATION)
    to_score = np.array([NormalDist().inv_cdf((place + 0.5) / len(strongest)) for place in range(len(strongest))])
    grid = np.linspace(-1, 1, 401)
    normal = np.random.default_rng(0).standard_normal(200_000)
    means = np.array([np.interp(normal + shift, to_score, strongest).mean() for shift in grid])

    def draw(chance: np.random.Generator) -> Search:
        strength = strengths(chance)
        latent = np.sqrt(LATENT_CORRELATION) * chance.standard_normal(PROMPTS) + own * chance.standard_normal((len(strength), PROMPTS))
        return np.interp(latent + strength[:, None], to_score, strongest), np.interp(strength, grid, means)

    return draw


def table(rows: Sequence[Row]) -> Table:
    shown = Table(
        "searches among", "strategy", "pick within 1 point %", "regret, points", "judgments %", "best surely dropped %", "searches"
    )
    for row in rows:
        figures = (f"{row.within_a_point:.1f}", f"{row.regret:.2f}", f"{row.judgments:.1f}", f"{row.errors:.2f}", str(row.searches))
        shown.add_row(row.world, row.strategy, *figures)
    return shown


def measure(world: str, name: str, strategy: Strategy, draw: Callable[[np.random.Generator], Search], searches: int, seed: int) -> Row:
    """Every strategy sees the same searches."""
    chance = np.random.default_rng(seed)
    picks = [race(*draw(chance), strategy) for _ in range(searches)]
    within = 100 * fmean(pick.regret <= 1 for pick in picks)
    regret, share = fmean(pick.regret for pick in picks), fmean(pick.share for pick in picks)
    return Row(world, name, within, regret, 100 * share, 100 * fmean(pick.dropped_best for pick in picks), searches)


def main(
    data: Annotated[Path, typer.Option(help="The benchmark data.", envvar=DATA_VARIABLE)],
    searches: Annotated[int, typer.Option(help="Searches of each kind.", min=10)] = 10_000,
    arms: Annotated[int, typer.Option(help="Models that a search chooses among.", min=2)] = 16,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    seed: int = 0,
) -> None:
    real = real_verdicts(data)
    worlds: Mapping[str, Callable[[np.random.Generator], Search]] = {
        "real models": of_real_models(real, arms),
        "models 5 points apart": calibrated(real, apart(arms, LATENT_SPREAD)),
        "equal models": calibrated(real, apart(arms, 0.0)),
    }
    chosen = strategy or list(STRATEGIES)
    rows = [measure(world, name, STRATEGIES[name], draw, searches, seed) for world, draw in worlds.items() for name in chosen]
    show(rows, json_file)


def show(rows: Sequence[Row], json_file: Path | None) -> None:
    """On the screen, and perhaps in a file."""
    Console(width=140).print(table(rows))
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)

"""What racing risks among many models, whose leader at the first rung is the luckiest of all: beside full evaluation and halving.

`python benchmarks/racing_many.py --data DIR`: as `racing.py`, with simulated models alone.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from racing import LATENT_SPREAD, STRATEGIES, Matrix, Search, Strategy, apart, calibrated, measure, real_verdicts, show

from evals.benchmarks.files import DATA_VARIABLE

_GOOD = 50

MANY_STRATEGIES = {
    **{name: STRATEGIES[name] for name in ("full evaluation", "halving")},
    "racing, doubt 2 at every rung": Strategy(error_rate=0.05, doubt=2.0, taken_for=2),
    **{name: STRATEGIES[name] for name in ("racing, doubt 2", "racing, doubt 1")},
}


def few_good(arms: int, ahead: float, spread: float = LATENT_SPREAD / 4) -> Callable[[np.random.Generator], Matrix]:
    """Strengths close to each other, those of one arm in fifty further up."""
    return lambda chance: spread * chance.standard_normal(arms) + ahead * (np.arange(arms) < max(1, arms // _GOOD))


def main(
    data: Annotated[Path, typer.Option(help="The benchmark data.", envvar=DATA_VARIABLE)],
    searches: Annotated[int, typer.Option(help="Searches of each kind.", min=1)] = 100,
    arms: Annotated[int, typer.Option(help="Models that a search chooses among.", min=2)] = 1_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    seed: int = 0,
) -> None:
    real = real_verdicts(data)
    worlds: Mapping[str, Callable[[np.random.Generator], Search]] = {
        "5 points apart": calibrated(real, apart(arms, LATENT_SPREAD)),
        "2 % 10 points better": calibrated(real, few_good(arms, 2 * LATENT_SPREAD)),
        "2 % 5 points better": calibrated(real, few_good(arms, LATENT_SPREAD)),
    }
    chosen = strategy or list(MANY_STRATEGIES)
    rows = [measure(world, name, MANY_STRATEGIES[name], draw, searches, seed) for world, draw in worlds.items() for name in chosen]
    show(rows, json_file)


if __name__ == "__main__":
    typer.run(main)

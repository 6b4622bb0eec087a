"""A whole search over the same configurations: ours, a plain loop around TRL and vLLM, and Ray Tune with ASHA around both.

`python benchmarks/search.py` makes the demo's world, draws configurations of the methods that TRL has too, and has each side find the best
one: wall seconds from the first import to the pick, judgments, and how good the picks truly are on fresh tasks. With several `--seeds`
the others are searched by ours alone, racing and in full, for the quality of the picks.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer
from rich.console import Console
from rich.table import Table
from search_data import METHODS, Quality, demo_settings, sample_configurations, true_quality
from search_peers import CORES, PeerSearch, plain_loop, tune_asha

from orchestrator.search.budget import Meter
from orchestrator.search.ledger import read_ledger
from orchestrator.settings import Settings
from orchestrator.worlds.recipes import World

FULL = {"scheduler": "none", "prompt_growth": 1.0}


@dataclass(frozen=True)
class Side:
    """One side's search with one seed; `quality` is that of its pick on fresh tasks, in percent, with its standard error."""

    name: str
    seed: int
    configurations: int
    seconds: float
    judgments: int
    pick: str
    quality: float = 0.0
    standard_error: float = 0.0


def ours(folder: Path, world: World, seed: int, count: int, changes: Mapping[str, Any]) -> tuple[float, int, Path]:
    """Seconds, judgments and the pick of our search, in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--only-ours", str(folder), "--seed", str(seed), "--configurations", str(count)]
    command += ["--world", str(world.model.parent), "--changes", json.dumps(changes)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    rows = json.loads((folder / "leaderboard.json").read_text())
    best = next(row for row in rows if row["trial"] != "base")
    events = [event for event in read_ledger(folder / "ledger.jsonl") if event["event"] != "baseline"]
    return seconds, Meter(events).spent(0.0).judgments, Path(best["checkpoint"])


def search_ours(folder: Path, world: World, seed: int, count: int, changes: Mapping[str, Any]) -> None:
    """Our search over the drawn configurations and none else."""
    from orchestrator.cluster.runs.search import search

    listed: dict[str, list[dict[str, Any]]] = {}
    for sample in sample_configurations(count, seed):
        listed.setdefault(sample["method"], []).append({key: value for key, value in sample.items() if key != "method"})
    settings = settings_of(world, seed, count, changes)
    with patch("orchestrator.cluster.tune.searchers.listed_samples", lambda *_: listed):
        search(settings, folder)


def settings_of(world: World, seed: int, count: int, changes: Mapping[str, Any]) -> Settings:
    """The demo's, without finals, which the other sides have not, and with two trials at once as Ray Tune has them."""
    given = demo_settings()
    searched = given.search.model_copy(update={"methods": METHODS, "trials": count, **changes})
    training = given.training.model_copy(update={"seed": seed})
    data = given.data.model_copy(update={"validation_pairs": 0})
    cluster = given.cluster.model_copy(update={"workers": 1, "gangs": CORES})
    settings = given.model_copy(update={"search": searched, "training": training, "data": data, "cluster": cluster}).with_world(world)
    return settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update={"held_out": None})})


def demo_world(settings: Settings) -> World:
    """The demo's world, made once."""
    from orchestrator.worlds import make_world

    assert settings.world is not None
    return make_world(settings.world, settings.cache.expanduser() / "worlds", lambda _: None)


def with_quality(sides: Sequence[tuple[Side, Path]], world: World) -> list[Side]:
    """Measure every pick on the same fresh tasks."""
    found: list[Quality] = true_quality([model for _, model in sides], world)
    return [
        Side(**{**asdict(side), "quality": q.win_rate, "standard_error": q.standard_error})
        for (side, _), q in zip(sides, found, strict=True)
    ]


def table(sides: Sequence[Side]) -> Table:
    figures = ("configurations", "seconds", "for each", "times ours", "judgments", "for each", "true win rate of the pick %", "pick")
    shown = Table("seed", "search", *figures)
    for side in sides:
        mine = next(each for each in sides if each.seed == side.seed)
        each, ours_each = side.seconds / side.configurations, mine.seconds / mine.configurations
        seconds = (f"{side.seconds:.0f}", f"{each:.1f}", f"{each / ours_each:.1f}")
        judgments = (str(side.judgments), f"{side.judgments / side.configurations:.0f}")
        rate = f"{side.quality:.1f} ± {side.standard_error:.1f}"
        shown.add_row(str(side.seed), side.name, str(side.configurations), *seconds, *judgments, rate, side.pick)
    return shown


def main(  # noqa: PLR0913 (the options of the command)
    folder: Annotated[Path, typer.Option(help="Where everything is written; must be new.")] = Path("runs/search-benchmark"),
    configurations: Annotated[int, typer.Option(help="How many are searched over.", min=4)] = 16,
    seed: Annotated[int, typer.Option(help="Of configurations, training and answers.")] = 0,
    seeds: Annotated[int, typer.Option(help="Searches of ours, racing and in full, with this and the following seeds.", min=1)] = 1,
    peers: Annotated[int | None, typer.Option(help="How many of the configurations the peers search over, with the first seed.")] = None,
    full: Annotated[bool, typer.Option(help="Train and judge all of ours to the end, too.")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    only_ours: Annotated[Path | None, typer.Option(hidden=True)] = None,
    world: Annotated[Path | None, typer.Option(hidden=True)] = None,
    changes: Annotated[str, typer.Option(hidden=True)] = "{}",
) -> None:
    if only_ours is not None and world is not None:
        search_ours(only_ours, World.at(world), seed, configurations, json.loads(changes))
        return
    folder, made = folder.resolve(), demo_world(demo_settings())
    console, done = Console(width=170), []
    for number in range(seed, seed + seeds):
        found: list[tuple[Side, Path]] = []
        for name, how in {"ours": {}, "ours, in full": FULL}.items() if full else (("ours", {}),):
            where = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{number}"
            seconds, judgments, model = ours(where, made, number, configurations, how)
            found.append((Side(name, number, configurations, seconds, judgments, model.parent.parent.name), model))
            console.print(found[-1][0])
        theirs = configurations if peers is None else peers
        if theirs and number == seed:
            for name, run in (("plain loop", plain_loop), ("Ray Tune, ASHA", tune_asha)):
                where = folder / name.split(",")[0].replace(" ", "-")
                peer = run(PeerSearch(made, sample_configurations(configurations, number)[:theirs], number, where))
                found.append((Side(name, number, theirs, peer.seconds, peer.judgments, str(peer.pick)), peer.model))
                console.print(found[-1][0])
        done += with_quality(found, made)
        console.print(table(done))
        if json_file is not None:
            json_file.write_text(json.dumps([asdict(side) for side in done], indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)

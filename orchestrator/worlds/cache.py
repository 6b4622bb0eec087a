"""Keeps made worlds by content: a directory exists under its final name only when it is whole."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from evals.judges import verifier
from evals.whole_files import making
from orchestrator.worlds.recipes import TasksRecipe, TextRecipe, World


def keep_world(cache: Path, recipe: TasksRecipe | TextRecipe, inputs: tuple[Path, ...], make: Callable[[World], None]) -> World:
    """Return the world of `recipe`, made by `make` unless it is kept already; `inputs` are the files it is made from.

    Makers may race: each works in a directory of its own, the first to finish wins, the others take the winner's.
    """
    final = cache / f"{recipe.kind.replace('_', '-')}-{fingerprint(recipe, inputs)}"
    if final.is_dir():
        return World.at(final)
    try:
        with making(final) as unfinished:
            make(World.at(unfinished))
    except OSError:
        if not final.is_dir():
            raise
    return World.at(final)


def fingerprint(recipe: TasksRecipe | TextRecipe, inputs: tuple[Path, ...]) -> str:
    """Hash the recipe, the files it names and the source that turns them into a world."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(repr(recipe).encode())
    for file in (*sources, Path(verifier.__file__), *inputs):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]

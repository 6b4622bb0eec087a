"""Keeps made worlds by content: a directory exists under its final name only when it is whole."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from evals.judges import verifier
from orchestrator.worlds.recipes import TasksRecipe, TextRecipe, World


def keep_world(cache: Path, recipe: TasksRecipe | TextRecipe, inputs: tuple[Path, ...], make: Callable[[World], None]) -> World:
    """Return the world of `recipe`, made by `make` unless it is kept already; `inputs` are the files it is made from.

    Makers may race: each works in a directory of its own, the first to finish wins, the others take the winner's.
    """
    final = cache / f"{recipe.kind.replace('_', '-')}-{fingerprint(recipe, inputs)}"
    if final.is_dir():
        return World.at(final)
    unfinished = cache / f".{final.name}.{uuid.uuid4().hex}"
    unfinished.mkdir(parents=True)
    try:
        make(World.at(unfinished))
        _rename(unfinished, final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return World.at(final)


def fingerprint(recipe: TasksRecipe | TextRecipe, inputs: tuple[Path, ...]) -> str:
    """Hash the recipe, the files it names and the source that turns them into a world."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(repr(recipe).encode())
    for file in (*sources, Path(verifier.__file__), *inputs):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _rename(unfinished: Path, final: Path) -> None:
    try:
        os.rename(unfinished, final)
    except OSError:
        if not final.is_dir():
            raise

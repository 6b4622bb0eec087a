"""Worlds made on the spot: a small chat model with preference pairs, search prompts and held-out prompts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestrator.worlds.recipes import TasksRecipe, TextRecipe, World

if TYPE_CHECKING:
    # Settings name the recipes of this room.
    from orchestrator.settings import Settings
    from orchestrator.settings.reward import RewardSettings

Run = TypeVar("Run", "Settings", "RewardSettings")


def in_world(settings: Run, progress: Callable[[str], None]) -> Run:
    """The settings on the world that they name, from their cache or made now; those without one as they are."""
    if settings.world is None:
        return settings
    return settings.with_world(make_world(settings.world, settings.cache.expanduser() / "worlds", progress))


def make_world(recipe: TasksRecipe | TextRecipe, cache: Path, progress: Callable[[str], None]) -> World:
    """The world of a recipe, from the cache or made now; `progress` hears what is being done."""
    if isinstance(recipe, TasksRecipe):
        from orchestrator.worlds.tasks_world import make_tasks_world

        return make_tasks_world(recipe, cache, progress)
    from orchestrator.worlds.text_world import make_text_world

    return make_text_world(recipe, cache, progress)

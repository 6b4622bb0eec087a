"""Worlds made on the spot: a small chat model with preference pairs, search prompts and held-out prompts."""

from collections.abc import Callable
from pathlib import Path

from orchestrator.worlds.recipes import TasksRecipe, TextRecipe, World


def make_world(recipe: TasksRecipe | TextRecipe, cache: Path, progress: Callable[[str], None]) -> World:
    """The world of a recipe, from the cache or made now; `progress` hears what is being done."""
    if isinstance(recipe, TasksRecipe):
        from orchestrator.worlds.tasks_world import make_tasks_world

        return make_tasks_world(recipe, cache, progress)
    from orchestrator.worlds.text_world import make_text_world

    return make_text_world(recipe, cache, progress)

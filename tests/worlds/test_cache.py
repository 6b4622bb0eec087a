"""A world is kept by content, and only when it is whole."""

import dataclasses
import threading
from pathlib import Path

import pytest

from orchestrator.worlds.cache import fingerprint, keep_world
from orchestrator.worlds.recipes import TasksRecipe, World

RECIPE = TasksRecipe(steps=1)


def _write(world: World) -> None:
    world.model.mkdir()
    for file in (world.train, world.prompts, world.held_out):
        file.write_text("whole")


def test_a_world_is_made_once(tmp_path: Path):
    made: list[World] = []
    worlds = [keep_world(tmp_path, RECIPE, (), lambda world: (_write(world), made.append(world))[0]) for _ in range(2)]
    assert worlds[0] == worlds[1]
    assert len(made) == 1


def test_a_half_made_world_is_never_taken_for_whole(tmp_path: Path):
    def die_halfway(world: World) -> None:
        world.train.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_world(tmp_path, RECIPE, (), die_halfway)
    assert not list(tmp_path.iterdir())
    assert keep_world(tmp_path, RECIPE, (), _write).train.read_text() == "whole"


def test_makers_that_race_share_one_whole_world(tmp_path: Path):
    together = threading.Barrier(3)
    worlds: list[World] = []

    def make(world: World) -> None:
        _write(world)
        together.wait(10)

    makers = [threading.Thread(target=lambda: worlds.append(keep_world(tmp_path, RECIPE, (), make))) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(worlds) == 3
    assert len(set(worlds)) == 1
    assert list(tmp_path.iterdir()) == [worlds[0].train.parent]


def test_another_recipe_or_another_input_is_another_world(tmp_path: Path):
    data = tmp_path / "data"
    data.write_text("a")
    before = fingerprint(RECIPE, (data,))
    assert fingerprint(dataclasses.replace(RECIPE, seed=1), (data,)) != before
    assert fingerprint(RECIPE, (data,)) == before
    data.write_text("b")
    assert fingerprint(RECIPE, (data,)) != before

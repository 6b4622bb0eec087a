"""Recipes are read from settings files, so a wrong key or value is refused before anything is made."""

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from evals.errors import SettingsError
from orchestrator.worlds.recipes import TasksRecipe, TextRecipe

RECIPE: TypeAdapter[TasksRecipe | TextRecipe] = TypeAdapter(TasksRecipe | TextRecipe)


def test_the_kind_tells_which_recipe_is_meant():
    assert RECIPE.validate_python({"kind": "tasks"}) == TasksRecipe()
    text = RECIPE.validate_python({"kind": "preference_text", "pairs": "a", "references": "b"})
    assert text == TextRecipe("a", "b")


def test_an_unknown_key_is_refused():
    with pytest.raises(ValidationError, match="step"):
        TypeAdapter(TasksRecipe).validate_python({"step": 3})


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"slip_rate": 1.0}, {"temperature": 0.0}, {"samples_per_prompt": 1}])
def test_a_recipe_that_cannot_make_pairs_is_refused(wrong: dict[str, int]):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        TasksRecipe(**wrong)  # pyright: ignore[reportArgumentType]


def test_the_room_is_entered_without_torch():
    modules = ["recipes", "tasks", "small_model", "teaching", "tasks_world", "text_world"]
    code = "import sys;" + "".join(f"import orchestrator.worlds.{name};" for name in modules)
    heavy = subprocess.run(
        [sys.executable, "-c", code + "print({'torch', 'transformers'} & set(sys.modules))"], capture_output=True, text=True, check=True
    )
    assert heavy.stdout.strip() == "set()"

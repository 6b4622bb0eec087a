"""The page on the Python API, block by block, and its notebook as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.settings_file import load_settings
from tests.conftest import make_pairs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python_api.md").read_text(encoding="utf-8")
# Where cells run, a loop is running.
AS_IN_A_NOTEBOOK = """
import asyncio

async def run():
    names = {{}}
    for cell in {cells!r}:
        exec(cell, names)

asyncio.run(run())
"""
NOTEBOOK = json.loads((ROOT / "docs" / "python_api.ipynb").read_text(encoding="utf-8"))


def blocks(containing: str) -> str:
    """The page's block of code with these words in it."""
    (found,) = [code for code in re.findall(r"```python[^\n]*\n(.*?)```", PAGE, re.DOTALL) if containing in code]
    return found


def own_settings(directory: Path, model: Path) -> None:
    """A file of one's own model and data, as a reader of the page has it."""
    rows = [{"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected} for pair in make_pairs(40)]
    (directory / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (directory / "mine.toml").write_text(
        f'judge.kind = "verifier"\nmodel.base = "{model}"\nevaluation.prompts = "prompts.jsonl"\n'
        'data = { train = "pairs.jsonl", context = 64, validation_pairs = 2 }\n'
        'training = { steps = 2, batch_size = 8, micro_batch_tokens = 256, checkpoints = 1, precision = "fp32" }\n'
    )


def test_the_block_on_methods_runs() -> None:
    exec(blocks("objective.needs"), {})


def test_the_block_on_training_leaves_a_model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_settings(tmp_path, tiny_model)
    found: dict[str, Any] = {}
    exec(blocks("LocalEngine"), found)
    assert (found["checkpoint"].model / "model.safetensors").is_file()
    exec(blocks("Trained("), found)
    assert "simpo" in (tmp_path / "models" / "mine" / "README.md").read_text(encoding="utf-8")


def test_the_block_on_pairs_of_ones_own_gives_what_a_training_takes(tiny_model: Path) -> None:
    found: dict[str, Any] = {}
    exec(blocks("PreferencePair(").replace("path/or/hub-id", str(tiny_model)), found)
    assert (len(found["made"].pairs), len(found["made"].validation)) == (190, 10)


def test_the_settings_of_the_notebook_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(cells()[0], {})
    assert load_settings(tmp_path / "tour.toml").search.arms == ("simpo", "dpo")


def test_the_notebook_is_saved_without_what_it_printed() -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")


@pytest.mark.cluster
@pytest.mark.long
def test_every_cell_of_the_notebook_runs(tmp_path: Path) -> None:
    (tmp_path / "notebook.py").write_text(AS_IN_A_NOTEBOOK.format(cells=cells()), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "notebook.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=550
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checked: transformers loads" in done.stdout
    assert (tmp_path / "models" / "tour" / "README.md").is_file()


def cells() -> list[str]:
    """The notebook's code, cell by cell."""
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]

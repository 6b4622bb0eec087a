"""What `from orchestrator import ...` gives, however much was imported before."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import DPO, METHODS, PreferencePair, SimPO, load_settings, train


def test_the_names_of_the_front_door_are_the_things_themselves() -> None:
    assert METHODS["simpo"] is SimPO
    assert METHODS["dpo"] is DPO
    assert PreferencePair.__module__ == "orchestrator.preferences.pairs"
    assert callable(train)
    assert callable(load_settings)


def test_search_runs_a_search_also_after_its_room_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import orchestrator.cluster.runs.search
    import orchestrator.search.trial
    from orchestrator import search

    asked: list[Any] = []
    monkeypatch.setattr(orchestrator.cluster.runs.search, "search", lambda settings, directory: asked.append((settings, directory)))
    search("settings", Path("runs"))  # pyright: ignore[reportArgumentType]
    assert asked == [("settings", Path("runs"))]
    assert orchestrator.search.trial.Trial.__name__ == "Trial"


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = orchestrator.nothing  # pyright: ignore[reportAttributeAccessIssue]


_SNIPPET = """
from pathlib import Path
from orchestrator import METHODS, PreferencePair, SimPO, load_settings, resume, search, train
reveal_type(SimPO(beta=2.5))
reveal_type(search(load_settings("a.toml"), Path("runs")))
reveal_type(METHODS)
reveal_type(train)
SimPO(betta=2.5)
"""


def test_type_checkers_see_the_types_of_the_front_door_and_a_wrong_hyperparameter(tmp_path: Path) -> None:
    root = Path(orchestrator.__file__).parents[1]
    (tmp_path / "snippet.py").write_text(_SNIPPET)
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{root}"]}}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", str(tmp_path)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300).stdout
    types = re.findall(r'Type of .* is "(.*)"', said)
    assert types[:3] == ["SimPO", "Outcome", "Mapping[str, type[Objective]]"]
    assert types[3].startswith("(run: TrainingRun, engine: Engine,")
    assert "Any" not in types
    assert 'No parameter named "betta"' in said
    assert "1 error" in said


def test_the_types_name_what_the_front_door_hands_out_and_nothing_else() -> None:
    stub = ast.parse((Path(orchestrator.__file__).with_suffix(".pyi")).read_text())
    named = {name.asname for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert named == {"search", *orchestrator._HOMES, *(method.__name__ for method in METHODS.values())}  # pyright: ignore
    assert all(getattr(orchestrator, str(name)) is not None for name in named)
    packages = Path(orchestrator.__file__).parents[1]
    assert all((packages / package / "py.typed").is_file() for package in ("orchestrator", "evals"))

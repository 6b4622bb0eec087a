"""Imports run one way, every heavy library has one home, and files and functions stay small."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import orchestrator

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(file for package in ("orchestrator", "evals", "jobs") for file in (ROOT / package).rglob("*.py"))

# From the first room to the last: a module may import its own room and the rooms above it. Rooms on one line do not know each other.
ROOMS = (
    ("evals",),
    (
        "orchestrator.errors",
        "orchestrator.nearest",
        "orchestrator.distributions",
        "orchestrator.figures",
        "orchestrator.output",
        "orchestrator.run_files",
        "orchestrator.versions",
        "orchestrator.worlds.recipes",
    ),
    ("orchestrator.front_door", "orchestrator.own_classes"),
    ("orchestrator.settings",),
    ("orchestrator.preferences",),
    ("orchestrator.policy",),
    ("orchestrator.objectives",),
    ("orchestrator.settings_file",),
    ("orchestrator.selection",),
    ("orchestrator.training",),
    ("orchestrator.search",),
    ("orchestrator.estimates",),
    ("orchestrator.report", "orchestrator.worlds", "orchestrator.rounds"),
    ("orchestrator.doctor", "orchestrator.export"),
    ("orchestrator.cluster",),
    ("orchestrator.cluster.engines",),
    ("orchestrator.cluster.workers",),
    ("orchestrator.cluster.hub",),
    ("orchestrator.cluster.tune",),
    ("orchestrator.cluster.runs",),
    ("orchestrator.cluster.checks", "orchestrator.cluster.submit"),
    ("orchestrator.commands",),
    ("orchestrator.cli",),
    ("jobs",),
)
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
HOMES = {
    "ray": ("orchestrator/cluster/",),
    "deepspeed": ("orchestrator/training/deepspeed_engine.py",),
    "vllm": ("evals/vllm_engine.py",),
    "openai": ("evals/chat_models/openai_model.py", "evals/chat_models/retrying.py"),
    "lm_eval": ("evals/capability.py",),
    "alpaca_eval": (),
}
HEAVY = ("ray", "deepspeed", "vllm", "alpaca_eval", "lm_eval")
LONGEST_FILE, LONGEST_FUNCTION = 300, 40


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_imports_a_later_room(file: Path) -> None:
    room = room_of(module_name(file))
    for line, imported in imports(file):
        if imported.split(".")[0] not in {"orchestrator", "evals", "jobs"}:
            continue
        other = room_of(imported)
        assert other == room or LEVELS[other] < LEVELS[room], f"{file}:{line} imports {imported}, which is a later room than {room}"


def test_evals_imports_nothing_of_the_orchestrator() -> None:
    found = [f"{file}:{line}" for file in MODULES if module_name(file).startswith("evals") for line, name in imports(file) if is_ours(name)]
    assert found == []


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_is_imported_only_at_its_home(library: str) -> None:
    strangers = [
        f"{file}:{line}"
        for file in MODULES
        for line, name in imports(file)
        if name.split(".")[0] == library and not str(file.relative_to(ROOT)).startswith(HOMES[library] or "nowhere")
    ]
    assert strangers == []


def test_the_mathematics_and_the_scores_load_no_cluster_and_no_engine() -> None:
    loaded = loaded_by("orchestrator.objectives", "orchestrator.training.step", "evals.scorecard")
    assert loaded.isdisjoint(HEAVY)


def test_the_front_door_the_settings_and_the_command_line_load_no_torch() -> None:
    loaded = loaded_by("orchestrator", "orchestrator.objectives", "orchestrator.settings_file", "orchestrator.cli")
    assert loaded.isdisjoint({*HEAVY, "torch", "transformers", "openai"})


@pytest.mark.parametrize("name", ["SimPO", "METHODS", "Settings", "load_settings", "PreferencePair"])
def test_the_front_door_hands_out_what_it_names(name: str) -> None:
    assert getattr(orchestrator, name) is not None


def test_the_front_door_refuses_a_name_that_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SimpPO'"):
        _ = orchestrator.SimpPO  # pyright: ignore[reportAttributeAccessIssue]


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    assert [str(file) for file in MODULES if len(file.read_text().splitlines()) > LONGEST_FILE] == []


def test_no_function_is_longer_than_forty_lines() -> None:
    long = [
        f"{file}:{node.lineno} {node.name}"
        for file in MODULES
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > LONGEST_FUNCTION
    ]
    assert long == []


@cache
def parsed(file: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def module_name(file: Path) -> str:
    """The dotted name of a module."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The most exact room that holds a module; the package itself is open to everyone."""
    if module == "orchestrator":
        return "evals"
    return max((room for room in LEVELS if f"{module}.".startswith(f"{room}.")), key=len)


def is_ours(module: str) -> bool:
    """True for the orchestrator's own modules."""
    return module.split(".", maxsplit=1)[0] in {"orchestrator", "jobs"}


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import of a module, those inside functions and for type checkers included."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} is a relative import"
            inside = [f"{node.module}.{name.name}" for name in node.names]
            yield from ((node.lineno, name if is_module(name) else str(node.module)) for name in inside)


def is_module(name: str) -> bool:
    """True when the dotted name is a file or a package of this project."""
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines a function has, its signature and docstring included."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages that a fresh process has after importing `modules`."""
    code = f"import json, sys, {', '.join(modules)}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))

"""Nothing of the sources unpickles, runs or trusts what models and data bring with them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(file for package in ("orchestrator", "evals", "jobs") for file in (ROOT / package).rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# The searcher's own state, which Tune has it save beside its own in the run's directory.
# The doctor speaks so with its own child, in a directory that is theirs alone.
MAY_PICKLE = {"orchestrator/cluster/tune/searchers.py", "orchestrator/doctor/apart.py"}
# Only the name of an exception is taken from it.
MAY_NAME = {("pickle", "UnpicklingError")}
LOADERS = {
    "torch.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", None),
    "np.load": ("allow_pickle", None),
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
    *("pandas.read_pickle", "pd.read_pickle", "torch.hub.load", "torch.jit.load", "tempfile.mktemp"),
}


def name_of(node: ast.expr) -> str:
    """A dotted name; "" for what is none."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(source: str) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def faults(source: str, where: str = "") -> list[str]:
    """What of a source could run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = {(module or alias.name, alias.name) for alias in node.names}
            if where not in MAY_PICKLE and any(name.split(".")[0] in UNPICKLERS for name, _ in names - MAY_NAME):
                found.append(f"line {node.lineno} imports a pickler")
    for call in calls(source):
        name, given = name_of(call.func), {word.arg: word.value for word in call.keywords}
        if name in FORBIDDEN_CALLS:
            found.append(f"line {call.lineno} calls {name}")
        if name in LOADERS:
            word, wanted = LOADERS[name]
            value = given.get(word)
            if (value.value if isinstance(value, ast.Constant) else value) != wanted:
                found.append(f"line {call.lineno}: {name} without {word}={wanted}")
        if "shell" in given or name.endswith("from_string"):
            found.append(f"line {call.lineno}: {name} runs a text")
    return found


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_source_unpickles_or_runs_what_it_reads(file: Path) -> None:
    assert faults(file.read_text(encoding="utf-8"), str(file.relative_to(ROOT))) == []


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_whatever_loads_a_model_says_whether_its_code_is_trusted_and_only_settings_may_say_yes(file: Path) -> None:
    for call in calls(file.read_text(encoding="utf-8")):
        words = {word.arg: word.value for word in call.keywords}
        # peft reads adapters' weights and runs no code of theirs.
        if name_of(call.func).endswith(".from_pretrained") and name_of(call.func) != "PeftModel.from_pretrained":
            given = words.get("trust_remote_code")
            assert (isinstance(given, ast.Constant) and given.value is False) or (
                None in words and ast.unparse(words[None]) == "trusted"
            ), f"{file}:{call.lineno} lets transformers ask whether to run a model's code"
        elif "trust_remote_code" in words:
            assert not (isinstance(words["trust_remote_code"], ast.Constant) and words["trust_remote_code"].value), file


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load(x)",
        "import torch\ntorch.load(x, weights_only=False)",
        "import numpy as np\nnp.load(x, allow_pickle=True)",
        "import yaml\nyaml.load(x)",
        "import subprocess\nsubprocess.run(x, shell=True)",
        "eval(x)",
    ],
)
def test_each_way_to_run_what_is_read_is_found(source: str) -> None:
    assert faults(source) != []


@pytest.mark.parametrize("source", ["import torch\ntorch.load(x, weights_only=True)", "import yaml\nyaml.safe_load(x)", "model.eval()"])
def test_what_is_safe_is_not_found_fault_with(source: str) -> None:
    assert faults(source) == []

"""What the documents show works."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.judging import Match
from evals.prompts import load_prompts
from orchestrator.cluster.engines.judge_check import check_judge
from orchestrator.cluster.judges import make_judge
from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS, make_objective, method_named
from orchestrator.objectives.elsewhere import ELSEWHERE
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.settings_file import check_settings, load_settings
from tests.training.runs import metrics, tiny_run, train_locally

DOCS = Path(__file__).parents[1] / "docs"
ADD_A_METHOD = (DOCS / "add-a-method.md").read_text(encoding="utf-8")


def block(language: str, page: str = ADD_A_METHOD) -> str:
    """The first fenced block of a language in a page, in that on adding a method unless another is given."""
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def my_po(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds my_po.py as the page shows it."""
    (tmp_path / "my_po.py").write_text(block("python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_po", raising=False)
    return tmp_path


def test_a_whole_method_takes_about_twenty_five_lines() -> None:
    code = [line for line in block("python").splitlines() if line.strip()]
    assert len(code) <= 25


def test_the_method_of_the_page_trains_and_lowers_its_loss(
    my_po: Path, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair]
) -> None:
    run = tiny_run(make_objective("my_po:MyPO", {"gamma": 1.0}), tiny_model, tokenizer, tokenized_pairs, my_po)
    train_locally(run)
    steps = metrics(run)
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.1


def test_the_settings_of_the_page_are_accepted(my_po: Path) -> None:
    base = '[model]\nbase = "x"\n[data]\ntrain = "x"\n[evaluation]\nprompts = "x"\n[judge]\nkind = "verifier"\n'
    (my_po / "run.toml").write_text(block("toml") + base)
    settings = load_settings(my_po / "run.toml")
    assert settings.method == "my_po:MyPO"
    assert make_objective(settings.method, settings.hyperparameters).hyperparameters() == {"beta": 0.1, "gamma": 1.0}
    assert method_named(settings.search.methods[-1]).name == "my_po+sft"
    assert check_settings(settings.model_dump(), "again").search.methods == settings.search.methods


def test_the_judge_of_the_page_judges_by_its_settings_and_is_asked_by_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    (tmp_path / "my_judge.py").write_text(block("python", page))
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": 'Write "Paris" and "France".', "answer": "paris in france"}) + "\n")
    (tmp_path / "run.toml").write_text('[model]\nbase = "x"\n[data]\ntrain = "x"\n[evaluation]\nprompts = "x"\n' + block("toml", page))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    settings = load_settings("run.toml").judge
    judge = make_judge(settings, tmp_path)
    (prompt,) = load_prompts(tmp_path / "prompts.jsonl").prompts
    verdicts = judge.judge([Match(prompt, "PARIS", "none"), Match(prompt, "Rome", "paris, france"), Match(prompt, "paris", "France")])
    assert [verdict.candidate_score for verdict in verdicts] == [1.0, 0.0, 0.5]
    assert judge.name == "keywords, in any case"
    (found,) = check_judge(settings, [tmp_path / "prompts.jsonl"])
    assert found.found.startswith("keywords, in any case gives a right answer 1.00 beside a wrong one")


def test_the_card_of_the_page_is_printed(my_po: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.cli", "methods", "my_po:MyPO"]
    card = subprocess.run(command, cwd=my_po, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "-log s(beta D - gamma)" in card
    assert "0.01–0.5 log" in card


def test_the_readme_counts_the_methods() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert f"{len(METHODS)} methods" in readme


def test_every_method_has_a_row_in_the_table_of_names() -> None:
    table = [line.split("|")[2] for line in (DOCS / "methods.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = set(re.findall(r"[a-z]\w+", " ".join(table)))
    assert set(METHODS) <= named


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_of_another_tool_has_its_row_in_the_table_of_names(name: str) -> None:
    tool, ours = ELSEWHERE[name]
    rows = [line.split("|") for line in (DOCS / "methods.md").read_text(encoding="utf-8").splitlines() if f"`{name}`" in line]
    assert any(tool in theirs and ours in here for _, theirs, here, _ in rows)
    assert name not in METHODS and ours in METHODS


def test_the_sample_of_an_error_is_what_that_mistake_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (sample,) = re.findall(r"^```text\n(error .*?)^```", (DOCS / "errors.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(DOCS.parent)
    with pytest.raises(SettingsError) as refused:
        load_settings("jobs/examples/dmo.toml")
    told = f"error {refused.value.code}: {refused.value}".replace(str(Path.cwd()), "/home/me/daa-orchestrator")
    assert sample.splitlines()[:-1] == told.splitlines()

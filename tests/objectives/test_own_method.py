"""A method of the user's own, found by its module and class."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from orchestrator.errors import SettingsError
from orchestrator.objectives import make_objective, method_named
from tests.objectives.drawn import close
from tests.objectives.scores import random_scores

WHOLE = '''
"""A margin loss of one's own."""

from dataclasses import dataclass

from orchestrator.distributions import LogUniform
from orchestrator.objectives import Objective, PairLoss, State
from orchestrator.objectives.contract import sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores


@dataclass(frozen=True)
class MyPO(Objective):
    """DPO at half its beta."""

    name = "my_po"
    search_space = {"beta": LogUniform(0.01, 1.0)}
    needs = Needs(reference=True)

    beta: float = 0.1

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(beta D / 2)"""
        loss = sigmoid_loss(self.beta / 2 * pair.log_ratio_margin)
        return PairLoss(loss, pair.chosen.log_ratio, pair.rejected.log_ratio)
'''
Write = Callable[[str], str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module into the working directory, under a name of its own, and gives the name."""
    name = f"own_{tmp_path.name}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def refusal_of(name: str) -> SettingsError:
    """The refusal of a method's name, which says where and how to cure it."""
    with pytest.raises(SettingsError) as refusal:
        method_named(name, "trial.method")
    assert refusal.value.where == "trial.method"
    assert refusal.value.cure
    return refusal.value


def test_a_class_in_the_working_directory_is_found_and_takes_its_hyperparameters(written: Write) -> None:
    module = written(WHOLE)
    assert method_named(f"{module}:MyPO").name == "my_po"
    own, scores = make_objective(f"{module}:MyPO", {"beta": 0.3}), random_scores(4)
    assert own.hyperparameters() == {"beta": 0.3}
    close(own(scores, {}).loss, make_objective("dpo", {"beta": 0.15})(scores, {}).loss)


def test_a_class_anywhere_on_the_path_is_found(written: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = written(WHOLE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(tmp_path)
    assert method_named(f"{module}:MyPO").formula() == "-log s(beta D / 2)"


def test_a_class_of_ones_own_can_be_a_part_of_a_combination(written: Write) -> None:
    module = written(WHOLE)
    combination, scores = make_objective(f"{module}:MyPO + sft", {"my_po_beta": 0.3, "sft_weight": 0.5}), random_scores(4)
    expected = make_objective("dpo", {"beta": 0.15})(scores, {}).loss + 0.5 * make_objective("sft", {})(scores, {}).loss
    close(combination(scores, {}).loss, expected)
    assert isinstance(combination(scores, {}).loss, torch.Tensor)


def test_its_hyperparameters_have_the_usual_limits_and_its_unknown_ones_the_nearest_name(written: Write) -> None:
    module = written(WHOLE)
    with pytest.raises(SettingsError, match=r"beta is -1"):
        make_objective(f"{module}:MyPO", {"beta": -1})
    with pytest.raises(SettingsError, match=r"did you mean 'beta'"):
        make_objective(f"{module}:MyPO", {"betta": 1})


def test_a_module_that_is_not_there_is_refused(written: Write) -> None:
    assert "cannot be imported" in refusal_of("no_module_of_this_name:MyPO").what
    module = written("import no_module_of_this_name\n")
    assert "no_module_of_this_name" in refusal_of(f"{module}:MyPO").what


@pytest.mark.parametrize("name", [":MyPO", ".here:MyPO"])
def test_a_name_that_is_no_modules_is_refused(name: str) -> None:
    assert "cannot be imported" in refusal_of(name).what


def test_a_class_that_is_not_there_is_refused_with_the_nearest_name(written: Write) -> None:
    refusal = refusal_of(f"{written(WHOLE)}:MyOP")
    assert "'MyOP'" in refusal.what
    assert "'MyPO'" in refusal.cure


def test_a_class_that_is_no_objective_is_refused(written: Write) -> None:
    module = written("class MyPO:\n    pass\n\n\ndef function() -> None:\n    pass\n")
    for name in ("MyPO", "function"):
        assert "no subclass of orchestrator.objectives.Objective" in refusal_of(f"{module}:{name}").what


def test_a_class_that_is_no_dataclass_is_refused(written: Write) -> None:
    assert "no frozen dataclass" in refusal_of(f"{written(WHOLE.replace('@dataclass(frozen=True)', ''))}:MyPO").what


def test_a_dataclass_that_is_not_frozen_is_refused(written: Write) -> None:
    assert "no frozen dataclass" in refusal_of(f"{written(WHOLE.replace('frozen=True', 'frozen=False'))}:MyPO").what


def test_a_subclass_of_a_method_that_is_no_dataclass_itself_is_refused_because_its_hyperparameters_would_be_lost(written: Write) -> None:
    bare = "from orchestrator.objectives.dpo import DPO\n\n\nclass MyPO(DPO):\n    name = 'my_po'\n    gamma: float = 0.5\n"
    assert "no frozen dataclass" in refusal_of(f"{written(bare)}:MyPO").what


def test_a_class_without_a_loss_is_refused(written: Write) -> None:
    assert "__call__" in refusal_of(f"{written(WHOLE.replace('__call__', 'loss'))}:MyPO").what


def test_a_hyperparameter_without_default_is_refused_by_its_name(written: Write) -> None:
    assert "beta has no default" in refusal_of(f"{written(WHOLE.replace('beta: float = 0.1', 'beta: float'))}:MyPO").what


def test_a_class_without_a_name_is_refused(written: Write) -> None:
    unnamed = WHOLE.replace('name = "my_po"', "")
    assert "it has no `name`" in refusal_of(f"{written(unnamed)}:MyPO").what

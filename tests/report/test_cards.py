"""The table and the cards of methods say what a reader needs, and the truth."""

import io

import pytest
from rich.console import Console, RenderableType

from orchestrator.distributions import Choice, LogUniform, Uniform
from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS
from orchestrator.policy.scores import Needs
from orchestrator.report.cards import method_card, methods_table, needs_in_words, range_in_words


def printed(shown: RenderableType) -> str:
    """As a wide terminal shows it."""
    screen = Console(file=io.StringIO(), width=400)
    screen.print(shown)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize("name", METHODS)
def test_a_card_has_the_formula_the_hyperparameters_the_paper_and_the_status(name: str) -> None:
    method, card = METHODS[name], printed(method_card(name))
    assert method.formula() in card
    assert method.paper in card
    assert method.status in card
    assert "Choose it" in card
    rows = [line.split() for line in card.splitlines()]
    for key, default in method().hyperparameters().items():
        assert any(row[:2] == [key, str(default)] for row in rows)


def test_the_table_has_a_row_for_every_method_with_needs_ranges_and_status() -> None:
    lines = printed(methods_table()).splitlines()
    for name, method in METHODS.items():
        (line,) = [line for line in lines if line.strip(" │").split(" ")[0] == name]
        assert needs_in_words(method().needs) in line
        assert method.status in line


def test_a_combination_has_a_card_and_is_named_as_a_key_of_toml() -> None:
    card = printed(method_card("dpo+sft"))
    assert "dpo_beta" in card
    assert '[search.space."dpo+sft"]' in card
    assert "[search.space.simpo]" in printed(method_card("simpo"))


def test_the_card_of_no_method_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match="did you mean 'simpo'"):
        method_card("simppo")


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(), "pairs only"),
        (Needs(reference=True, reward=True), "reference, rewards"),
        (Needs(reference=True, neighbour_step=0.01, position_kl=True), "reference, reference logits"),
        (Needs(mismatched=True, whole_batch=True, extra_references=1), "mismatched responses, further references, whole batch"),
    ],
)
def test_needs_are_told_in_words(needs: Needs, words: str) -> None:
    assert needs_in_words(needs) == words


def test_ranges_are_told_in_words() -> None:
    assert range_in_words(LogUniform(0.001, 0.3)) == "0.001–0.3 log"
    assert range_in_words(Uniform(-0.5, 2.0)) == "-0.5–2"
    assert range_in_words(Choice(("js", 1))) == "js | 1"

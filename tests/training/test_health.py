"""What goes wrong in a run is called by its name, with a cure; what goes well is not."""

import re
from typing import Any

import pytest

from orchestrator.objectives import method_named
from orchestrator.training.health import SIGNS, health

STEPS = 60


def steps(count: int = STEPS, **last: float) -> list[dict[str, Any]]:
    """A run that learns, but for the figures that move in a line to other last values."""
    begin = {"loss": 0.69, "accuracy": 0.5, "margin": 0.0, "chosen_logp": -100.0, "longer_chosen": 0.5, "longer_wins": 0.5}
    begin |= {"gradient_norm": 1.0, "drift": 0.0}
    end = begin | {"loss": 0.4, "accuracy": 0.8, "margin": 1.0, "chosen_logp": -101.0, "drift": 0.1} | last
    wave = [0.01 * (-1) ** number for number in range(count)]
    made = [{name: begin[name] + (end[name] - begin[name]) * number / (count - 1) for name in begin} for number in range(count)]
    return [step | {"loss": step["loss"] + off} for step, off in zip(made, wave, strict=True)]


def test_a_run_that_learns_is_healthy_and_a_short_one_is_young() -> None:
    assert health(steps()).word == "healthy"
    assert health(steps(9)).word == "young"
    assert health([]).word == "young"


@pytest.mark.parametrize(
    ("word", "last"),
    [
        ("diverging", {"loss": 3.0, "accuracy": 0.5}),
        ("diverging", {"loss": 3.0, "margin": -1.0}),
        ("drifting", {"drift": 2.5}),
        ("falling", {"chosen_logp": -140.0}),
        ("length", {"longer_wins": 0.9}),
        ("saturated", {"loss": 0.01, "accuracy": 1.05}),
        ("stalled", {"loss": 0.69, "accuracy": 0.5}),
    ],
)
def test_a_trouble_has_a_word_and_a_cure(word: str, last: dict[str, float]) -> None:
    found = health(steps(STEPS, **last))
    assert found.word == word
    assert found.cure == next(sign.cure for sign in SIGNS if sign.word == word) != ""


def test_every_method_that_a_cure_names_exists() -> None:
    told = [
        name for sign in SIGNS for found in re.findall(r"\(([a-z_, ]+)\)|\"([a-z_+]+)\"", sign.cure) for name in ",".join(found).split(",")
    ]
    named = [method_named(name.strip()).name for name in told if name]
    assert {"dpo+sft", "simpo"} <= {*named}


def test_gradients_that_burst_at_the_end_are_divergence() -> None:
    burst = [step | {"gradient_norm": 50.0} if number >= STEPS - 12 else step for number, step in enumerate(steps())]
    assert health(burst).word == "diverging"


def test_a_loss_that_grows_while_more_pairs_are_told_apart_is_no_divergence() -> None:
    assert health(steps(loss=3.0)).word == "healthy"


def test_chosen_responses_that_fall_without_a_margin_are_not_called_so() -> None:
    assert health(steps(chosen_logp=-140.0, margin=-0.1)).word == "healthy"


def test_chosen_responses_that_are_now_shorter_now_longer_do_not_fall_by_luck() -> None:
    def uneven(by: float) -> list[dict[str, Any]]:
        return [step | {"chosen_logp": step["chosen_logp"] + by * (-1) ** number} for number, step in enumerate(steps(chosen_logp=-125.0))]

    assert health(uneven(5.0)).word == "falling"
    assert health(uneven(50.0)).word == "healthy"


def test_a_method_without_a_reference_does_not_drift() -> None:
    assert health([step | {"drift": None} for step in steps()]).word == "healthy"

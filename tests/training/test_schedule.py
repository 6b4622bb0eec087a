"""The learning rate at every step is what its schedule says."""

import math

import pytest

from orchestrator.settings import TrainingSettings
from orchestrator.training.schedule import learning_rate

PEAK = 2e-6


def rates(schedule: str, steps: int, warmup: float = 0.0) -> list[float]:
    """The rate at every step, in shares of the highest."""
    settings = TrainingSettings.model_validate({"schedule": schedule, "warmup": warmup, "learning_rate": PEAK})
    return [learning_rate(settings, step, steps) / PEAK for step in range(steps)]


def test_warm_up_rises_to_the_highest_rate_stable_stays_there_and_decay_takes_the_last_fifth() -> None:
    found = rates("wsd", 100, warmup=0.1)
    assert found[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert found[10:82] == pytest.approx([1.0] * 72)
    assert found[83:] == pytest.approx([(100 - step) / 90 / 0.2 for step in range(83, 100)])
    assert 0 < found[-1] < 0.1


def test_without_warm_up_the_first_four_fifths_are_at_the_highest_rate() -> None:
    found = rates("wsd", 50)
    assert found[:41] == pytest.approx([1.0] * 41)
    assert found[41:] == pytest.approx([(50 - step) / 10 for step in range(41, 50)])


@pytest.mark.parametrize(
    ("schedule", "plain"),
    [
        ("constant", [1.0] * 8),
        ("linear", [1 - step / 8 for step in range(8)]),
        ("cosine", [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]),
    ],
)
def test_the_other_schedules_are_their_formulas(schedule: str, plain: list[float]) -> None:
    assert rates(schedule, 8) == pytest.approx(plain)


@pytest.mark.parametrize("hundredths", range(1, 100))
def test_warm_up_takes_the_steps_that_its_decimals_say(hundredths: int) -> None:
    found = rates("constant", 100, warmup=hundredths / 100)
    assert found == pytest.approx([min(1.0, (step + 1) / hundredths) for step in range(100)])


@pytest.mark.parametrize("schedule", ["constant", "wsd", "linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_no_step_of_even_the_shortest_run_is_without_a_rate(schedule: str, steps: int, warmup: float) -> None:
    assert all(0 < rate <= 1 for rate in rates(schedule, steps, warmup))

"""Instructions with one right answer: what is called right is right, what is called a slip is wrong."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.errors import SettingsError
from evals.judges.verifier import is_right
from orchestrator.worlds.tasks import TASK_KINDS, draw_tasks


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_every_answer_is_right_and_every_slip_of_every_kind_is_wrong(seed: int):
    for task in draw_tasks(Random(seed), len(TASK_KINDS), set()):
        prompt = task.as_prompt("0")
        assert is_right(prompt, task.answer)
        assert task.slips, f"{task.kind} has no slip"
        assert not [slip for slip in task.slips if is_right(prompt, slip)]


def test_the_kinds_are_drawn_evenly():
    kinds = [task.kind for task in draw_tasks(Random(0), 5 * len(TASK_KINDS), set())]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(TASK_KINDS, 5)


def test_a_question_is_never_drawn_twice():
    taken: set[str] = set()
    drawn = [task.question for _ in range(3) for task in draw_tasks(Random(0), 400, taken)]
    assert len(set(drawn)) == len(drawn) == len(taken)


def test_the_crowd_slips_as_often_as_it_is_told_to():
    rng = Random(0)
    task = draw_tasks(rng, 1, set())[0]
    assert {task.demonstrate(rng, 0.0) for _ in range(50)} == {task.answer}
    slips = [task.demonstrate(rng, 0.3) != task.answer for _ in range(2000)]
    assert sum(slips) / len(slips) == pytest.approx(0.3, abs=0.05)


def test_asking_for_more_questions_than_there_are_is_refused():
    with pytest.raises(SettingsError, match="no more instructions"):
        draw_tasks(Random(0), 200_000, set())

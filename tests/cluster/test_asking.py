"""Errors keep their words on the way through actors."""

from ray.exceptions import RayTaskError

from orchestrator.cluster.asking import unwrapped
from orchestrator.errors import ModelError


def through_an_actor(error: Exception) -> RayTaskError:
    return RayTaskError("respond", "a traceback of many lines", error)


def test_a_refusal_comes_out_of_two_actors_as_it_went_in() -> None:
    refusal = ModelError("this is no model", "/somewhere", "give another")
    twice = through_an_actor(through_an_actor(refusal).as_instanceof_cause())
    assert unwrapped(twice.as_instanceof_cause()) is refusal


def test_another_error_stays_as_it_is() -> None:
    error = through_an_actor(ZeroDivisionError("a fault"))
    assert unwrapped(error) is error

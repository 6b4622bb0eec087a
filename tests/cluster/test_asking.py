"""Errors keep their words on the way through actors, and who dies is asked again, until it is away for too long."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from orchestrator.cluster import asking
from orchestrator.cluster.asking import ask, patiently, unwrapped
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


class Mortal:
    """An actor's method that works for so many seconds of a clock and dies, as often as it is told to; then it answers."""

    def __init__(self, works_s: float, deaths: int, patch: pytest.MonkeyPatch) -> None:
        self.asked, self._works_s, self._deaths, self._now = 0, works_s, deaths, 1000.0
        patch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: self._now, sleep=self._pass))
        patch.setattr(asking.asyncio, "sleep", self._pass_patiently)
        patch.setattr(asking.ray, "get", lambda answer: answer)

    def _pass(self, seconds: float) -> None:
        self._now += seconds

    async def _pass_patiently(self, seconds: float) -> None:
        self._pass(seconds)

    def call(self) -> str:
        self.asked += 1
        self._pass(self._works_s)
        if self.asked <= self._deaths:
            raise RayActorError
        return "answer"

    async def call_patiently(self) -> str:
        return self.call()


def asked_in_turn(actor: Mortal) -> str:
    return ask(SimpleNamespace(remote=actor.call), deadline_s=30.0)


def asked_patiently(actor: Mortal) -> str:
    async def wait() -> Any:
        return await patiently(SimpleNamespace(remote=actor.call_patiently), deadline_s=30.0)

    return asyncio.run(wait())


@pytest.mark.parametrize("way", [asked_in_turn, asked_patiently])
def test_who_dies_after_hours_of_work_is_asked_again(way: Callable[[Mortal], str], monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Mortal(works_s=7200, deaths=1, patch=monkeypatch)
    assert way(actor) == "answer"
    assert actor.asked == 2


@pytest.mark.parametrize("way", [asked_in_turn, asked_patiently])
def test_who_is_away_for_too_long_is_given_up(way: Callable[[Mortal], str], monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Mortal(works_s=0, deaths=10**6, patch=monkeypatch)
    with pytest.raises(RayActorError):
        way(actor)
    assert 30 <= actor.asked <= 33

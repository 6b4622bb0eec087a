"""Errors keep their words on the way through actors, and who dies is asked again, until it is away for too long.

Who asks several at once and is stopped waits for none of them.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from threading import Timer, active_count, get_ident
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from orchestrator.cluster import asking
from orchestrator.cluster.asking import ask, patiently, together, unwrapped
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


async def answering(answer: int, after_s: float) -> int:
    await asyncio.sleep(after_s)
    if answer < 0:
        raise ModelError("this is no model", "/somewhere", "give another")
    return answer


def test_several_are_asked_side_by_side_and_answer_in_the_order_of_the_questions() -> None:
    meeting = asyncio.Barrier(3)

    async def answering_when_all_are_asked(answer: int) -> int:
        await meeting.wait()
        return await answering(answer, 0.03 - answer / 100)

    assert together(map(answering_when_all_are_asked, range(3))) == [0, 1, 2]
    assert together(()) == []


def test_the_first_error_of_several_is_raised_and_nobody_waits_for_the_others() -> None:
    started = time.monotonic()
    with pytest.raises(ModelError):
        together([answering(1, 20), answering(-1, 0.01)])
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_who_is_stopped_while_several_are_asked_leaves_at_once_and_nobody_behind(told: signal.Signals) -> None:
    ended: list[str] = []

    async def asked() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            ended.append("not answered")

    def leave(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before, threads, started = signal.signal(signal.SIGTERM, leave), active_count(), time.monotonic()
    Timer(0.2, signal.pthread_kill, [get_ident(), told]).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            together([asked(), asked()])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended == ["not answered"] * 2
    assert time.monotonic() - started < 5
    assert active_count() == threads


def test_several_are_asked_from_a_notebook_too() -> None:
    async def cell() -> list[int]:
        return together([answering(1, 0), answering(2, 0)])

    assert asyncio.run(cell()) == [1, 2]

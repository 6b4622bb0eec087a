"""Training and answering take turns where they share GPUs, and nobody waits for ever."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from orchestrator.cluster.hub import turns
from orchestrator.cluster.hub.turns import Turns


@pytest.fixture(autouse=True)
def short_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_BREAK_S", 0.01)


class Diary:
    """Who did what, in order."""

    def __init__(self, taken: Turns) -> None:
        self.turns, self.lines = taken, list[str]()

    async def answer(self, name: str) -> None:
        async with self.turns.answering():
            self.lines.append(f"{name} begins")
            await asyncio.sleep(0.02)
            self.lines.append(f"{name} ends")

    async def train(self, checkpoints: int) -> None:
        await self.turns.begin_training()
        for number in range(checkpoints):
            self.lines.append(f"interval {number} begins")
            await asyncio.sleep(0.02)
            self.lines.append(f"interval {number} ends")
            if number < checkpoints - 1:
                await self.turns.at_checkpoint()
        await self.turns.end_training()


def played(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, 5))


def test_engines_that_wait_answer_at_the_next_checkpoint_and_training_goes_on_after_all_of_them() -> None:
    diary = Diary(Turns(alternate=True))

    async def scene() -> None:
        training = asyncio.create_task(diary.train(2))
        await asyncio.sleep(0.01)
        await asyncio.gather(diary.answer("a"), diary.answer("b"), training)

    played(scene())
    assert diary.lines[:2] == ["interval 0 begins", "interval 0 ends"]
    assert sorted(diary.lines[2:6]) == ["a begins", "a ends", "b begins", "b ends"]
    assert diary.lines[6:] == ["interval 1 begins", "interval 1 ends"]


def test_what_a_checkpoint_wakes_answers_before_training_goes_on() -> None:
    diary = Diary(Turns(alternate=True))

    async def scene() -> None:
        async def woken() -> None:
            while "interval 0 ends" not in diary.lines:
                await asyncio.sleep(0.001)
            await diary.answer("woken")

        await asyncio.gather(diary.train(2), woken())

    played(scene())
    assert diary.lines[2:4] == ["woken begins", "woken ends"]


def test_where_both_have_gpus_of_their_own_nobody_waits() -> None:
    diary = Diary(Turns(alternate=False))

    async def scene() -> None:
        training = asyncio.create_task(diary.train(1))
        await asyncio.sleep(0.01)
        await asyncio.gather(diary.answer("a"), training)

    played(scene())
    assert diary.lines[:2] == ["interval 0 begins", "a begins"]


def test_a_group_that_dies_does_not_keep_its_turn() -> None:
    diary = Diary(Turns(alternate=True, training=True))

    async def scene() -> None:
        waiting = asyncio.create_task(diary.answer("a"))
        await asyncio.sleep(0.01)
        assert diary.lines == []
        await diary.turns.end_training()
        await waiting

    played(scene())


def test_an_engine_that_fails_or_gives_up_waiting_frees_its_turn() -> None:
    diary = Diary(Turns(alternate=True))

    async def scene() -> None:
        with pytest.raises(ValueError, match="out of memory"):
            async with diary.turns.answering():
                raise ValueError("out of memory")
        await diary.turns.begin_training()
        waiting = asyncio.create_task(diary.answer("a"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(0.01)
        await diary.turns.at_checkpoint()

    played(scene())
    assert diary.lines == []

"""A judge's server that is overloaded at times: it answers late, refuses with 429 and 500, or hangs, and counts what was paid for."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from aiohttp import web

_HANG_S = 3600.0


@dataclass(frozen=True)
class Faults:
    """Shares of the requests that are refused as too many, fail, or are never answered; the others take `least_s` to `most_s`."""

    too_many: float = 0.05
    broken: float = 0.01
    hang: float = 0.002
    least_s: float = 0.2
    most_s: float = 0.6


class JudgeServer:
    """Answers every question by the same verdict. `paid` counts the answers that reached their client whole, by question."""

    def __init__(self, faults: Faults) -> None:
        self._faults, self._chance = faults, random.Random(0)
        self.paid: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._busy, self._busiest = 0, 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One chat completion, or a fault."""
        body = await request.json()
        self._busy += 1
        self._busiest = max(self._busiest, self._busy)
        try:
            fault = self._fault()
            if fault is not None:
                self.faults[fault] += 1
                return await _fail(fault)
            await asyncio.sleep(self._chance.uniform(self._faults.least_s, self._faults.most_s))
            response = web.json_response(_completion())
            await response.prepare(request)
            await response.write_eof()
            self.paid[body["messages"][0]["content"]] += 1
            return response
        finally:
            self._busy -= 1

    async def counted(self, _: web.Request) -> web.Response:
        """What was paid for so far."""
        twice = sum(count > 1 for count in self.paid.values())
        told = {"paid": self.paid.total(), "questions": len(self.paid), "paid_twice": twice, "busiest": self._busiest}
        return web.json_response({**told, **self.faults})

    def _fault(self) -> str | None:
        shares = (self._faults.too_many, self._faults.broken, self._faults.hang)
        drawn = self._chance.random()
        for name, share in zip(("too_many", "broken", "hang"), shares, strict=True):
            if drawn < share:
                return name
            drawn -= share
        return None


def serve(faults: Faults, told: Connection) -> None:
    """Serve until this process is ended; tells the port."""
    asyncio.run(_serve(faults, told))


async def _serve(faults: Faults, told: Connection) -> None:
    server = JudgeServer(faults)
    application = web.Application()
    application.add_routes([web.post("/v1/chat/completions", server.answer), web.get("/counted", server.counted)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    told.send(runner.addresses[0][1])
    await asyncio.Event().wait()


async def _fail(fault: str) -> web.Response:
    if fault == "hang":
        await asyncio.sleep(_HANG_S)
    status, headers = (429, {"retry-after": "0.2"}) if fault == "too_many" else (500, {})
    return web.json_response({"error": {"message": fault, "type": "test", "code": None}}, status=status, headers=headers)


def _completion() -> dict[str, Any]:
    tops = [{"token": token, "logprob": value, "bytes": None} for token, value in (("m", -0.1), ("M", -2.4))]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "m"},
        "logprobs": {"content": [{**tops[0], "top_logprobs": tops}]},
    }
    usage = {"prompt_tokens": 1200, "completion_tokens": 1, "total_tokens": 1201}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "judge", "choices": [choice], "usage": usage}

"""A bound on requests and on money that is never exceeded: what a request may cost at most is set aside before it is sent."""

import asyncio
from dataclasses import dataclass

from evals.asking import Question
from evals.errors import BudgetSpentError

_MILLION = 1_000_000
# What chat templates and their roles add to a message, in tokens, at the most.
_PER_MESSAGE = 32


@dataclass(frozen=True)
class Prices:
    """Money per million tokens; without prices nothing costs anything. `reasoning` tokens may be generated before an answer."""

    input: float = 0.0
    output: float = 0.0
    reasoning: int = 0

    def of(self, prompt_tokens: int, tokens: int) -> float:
        """What a request of so many tokens costs."""
        return (prompt_tokens * self.input + tokens * self.output) / _MILLION

    def at_most(self, question: Question) -> float:
        """A bound before it is asked: no tokenizer makes more tokens than the text has bytes."""
        written = sum(len(message.content.encode()) + _PER_MESSAGE for message in question.messages)
        return self.of(written, 1 if question.labels else question.decoding.max_tokens + self.reasoning)


class Budget:
    """Counts requests and money over a client's whole life; `None` is no bound."""

    def __init__(self, prices: Prices, max_requests: int | None = None, max_cost: float | None = None) -> None:
        self.prices, self.max_requests, self.max_cost = prices, max_requests, max_cost
        self.requests = 0
        self.spent = 0.0
        self._set_aside = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    def check(self, wanted: int) -> None:
        """Refuse more first requests than are left. Raises BudgetSpentError."""
        if self.max_requests is not None and self.requests + wanted > self.max_requests:
            what = f"{self.requests} requests are spent and {wanted} more are wanted, but `max_requests` is {self.max_requests}"
            raise BudgetSpentError(what, "the judge's budget", "raise `max_requests`, or judge fewer prompts")

    async def take(self, question: Question) -> float:
        """Set aside what the request may cost, and give that sum; requests under way may first have to say what they really cost."""
        self.check(1)
        most = self.prices.at_most(question)
        while self.max_cost is not None and self.spent + self._set_aside + most > self.max_cost:
            if self._set_aside == 0:
                what = f"{self.spent:.4f} of {self.max_cost:g} is spent, and the next request may cost {most:.4f}"
                raise BudgetSpentError(
                    what, "the judge's budget", "raise `max_cost`, or judge fewer prompts; what was paid for is remembered"
                )
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
            self.check(1)
        self.requests += 1
        self._set_aside += most
        return most

    def settle(self, most: float, cost: float) -> None:
        """Replace what was set aside by what it cost."""
        self._set_aside -= most
        if self._set_aside < 1e-12:
            self._set_aside = 0.0
        self.spent += cost
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

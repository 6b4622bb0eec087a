"""A bound on requests and money is never exceeded, and the refusal says that the budget is what ended it."""

import asyncio

import pytest

from evals.asking import Question
from evals.chat_models.budget import Budget, Prices
from evals.errors import BudgetSpentError
from evals.generation import Decoding
from evals.prompts import Message

QUESTION = Question("q", (Message("user", "?"),), Decoding(max_tokens=1_000_000))
ONE_A_REQUEST = Prices(output=1.0)


def test_the_last_request_is_granted_and_the_next_refused_as_spent() -> None:
    budget = Budget(Prices(), max_requests=2)
    for _ in range(2):
        asyncio.run(budget.take(QUESTION))
    with pytest.raises(BudgetSpentError, match=r"2 requests are spent and 1 more are wanted, but `max_requests` is 2") as refusal:
        asyncio.run(budget.take(QUESTION))
    assert refusal.value.code == "DAA-0401"
    assert refusal.value.where == "the judge's budget"
    assert refusal.value.cure


def test_money_is_set_aside_before_it_is_spent_and_what_was_not_needed_comes_back() -> None:
    budget = Budget(ONE_A_REQUEST, max_cost=2.0)
    asyncio.run(budget.take(QUESTION))
    budget.settle(1.0, 0.5)
    asyncio.run(budget.take(QUESTION))
    budget.settle(1.0, 1.0)
    with pytest.raises(BudgetSpentError, match=r"1.5000 of 2 is spent, and the next request may cost 1.0000"):
        asyncio.run(budget.take(QUESTION))
    assert (budget.requests, budget.spent) == (2, 1.5)


def test_a_request_that_may_be_too_dear_waits_for_what_others_really_cost() -> None:
    async def two() -> Budget:
        budget = Budget(ONE_A_REQUEST, max_cost=1.5)
        await budget.take(QUESTION)
        second = asyncio.ensure_future(budget.take(QUESTION))
        await asyncio.sleep(0)
        assert not second.done()
        budget.settle(1.0, 0.25)
        assert await second == 1.0
        return budget

    assert asyncio.run(two()).requests == 2

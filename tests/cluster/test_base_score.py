"""The base model is judged beside the first trials, on verdicts that these leave it."""

import asyncio
from pathlib import Path

from evals.prompts import PromptSet
from orchestrator.cluster.hub.base_score import BaseScore
from orchestrator.cluster.hub.journal import Bell, Journal
from orchestrator.cluster.hub.scoring import Scored
from orchestrator.search.ledger import Events
from orchestrator.settings import BudgetSettings
from tests.cluster.test_assessing import PROMPTS, Ledger, Scoring, settle


class _Scoring(Scoring):
    async def check_judge(self, prompts: PromptSet) -> None:
        """It is there."""

    async def score(self, model: str, prompts: PromptSet) -> Scored:
        """All prompts."""
        return await self.judge(await self.answer(model, prompts))


def test_verdicts_on_the_base_model_are_set_aside_while_it_answers(tmp_path: Path) -> None:
    async def story() -> None:
        scoring, journal = _Scoring(), Journal(Ledger(), Bell())
        scoring.may_answer.clear()
        base, budget = BaseScore(tmp_path, journal), BudgetSettings(judgments=120)
        await base.use(scoring, "m", PROMPTS, Events())  # pyright: ignore[reportArgumentType]
        measuring = asyncio.create_task(base.measured())
        await settle()
        assert journal.exhausted(budget, 20) is None
        assert journal.exhausted(budget, 21) is not None
        scoring.may_answer.set()
        await measuring
        assert journal.spent().judgments == 100
        assert (journal.exhausted(budget, 20) is None, journal.exhausted(budget, 21) is None) == (True, False)

    asyncio.run(story())

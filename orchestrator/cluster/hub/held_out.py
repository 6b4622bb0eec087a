"""The runs of the finals on prompts that the search never used, scored for as long as the budget lasts."""

from pathlib import Path

from ray.exceptions import RayError

from evals.errors import UnreadableVerdictsError
from evals.prompts import load_prompts
from orchestrator.cluster.hub.assessing import explained
from orchestrator.cluster.hub.journal import Journal
from orchestrator.cluster.hub.scoring import Scorer
from orchestrator.cluster.hub.spending import Purse
from orchestrator.cluster.session import find_actor
from orchestrator.errors import BudgetSpentError, DaaError
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import Event, read_ledger
from orchestrator.settings import EvaluationSettings


class HeldOutScores:
    """Scores each run once. Answers that a bound of the budget overtakes are given up; verdicts on the way are paid for, and count."""

    def __init__(self, directory: Path, journal: Journal, purse: Purse) -> None:
        self._directory, self._journal, self._purse = directory, journal, purse

    def use(self, evaluation: EvaluationSettings, scorer: Scorer) -> None:
        """Work for a search."""
        self._evaluation, self._scorer = evaluation, scorer

    async def score(self, finalist: str, seed: int, run: str, model: str, judge: str | None) -> Event | None:
        """Score one seed of a finalist, perhaps by a judge that the search never asked.

        None when the budget does not last, and for a run that this judge cannot judge, which is left out.
        """
        events = read_ledger(RunFiles(self._directory).ledger, "held_out", "unreadable")
        known = next((event for event in events if event.get("run") == run), None)
        if known is not None or self._purse.ended(finals=True):
            return known if known is not None and known["event"] == "held_out" else None
        assert self._evaluation.held_out is not None
        prompts = load_prompts(self._evaluation.held_out)
        if (reason := self._purse.exhausted(len(prompts.prompts))) is not None:
            await self._purse.spend_out(reason)
            return None
        try:
            with self._journal.set_aside(len(prompts.prompts)):
                answered = await self._purse.while_finals_last(self._scorer.answer(model, prompts))
                if answered is None:
                    return None
                scored = await self._scorer.judge(answered, judge=find_actor(judge) if judge else None)
        except BudgetSpentError as error:
            await self._purse.spend_out(error.what)
            return None
        except UnreadableVerdictsError as error:
            told = {"trial": finalist, "seed": seed, "run": run, "checkpoint": model, "reason": error.what}
            await self._journal.write("unreadable", **told, asked=error.asked, cost=error.cost)
            return None
        except (DaaError, RayError, OSError) as error:
            raise explained(error, model, self._directory) from error
        event = {"trial": finalist, "seed": seed, "run": run, "checkpoint": model, **scored.numbers()}
        scored.save(RunFiles(self._directory).answers({"event": "held_out", **event}))
        await self._journal.write("held_out", **event)
        return event

"""The base model's own score on the search's prompts, which every trial's is read beside."""

from pathlib import Path

from ray.exceptions import RayError

from evals.prompts import PromptSet
from orchestrator.cluster.hub.assessing import explained
from orchestrator.cluster.hub.journal import Journal
from orchestrator.cluster.hub.scoring import Scorer
from orchestrator.errors import DaaError
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import Event, Events


class BaseScore:
    """Measured once in a search, and written to its ledger."""

    def __init__(self, directory: Path, journal: Journal) -> None:
        self._directory, self._journal = directory, journal

    async def use(self, scorer: Scorer, model: str, prompts: PromptSet, events: Events) -> None:
        """Take up what the ledger has; where that is nothing, a judge that was never asked has to answer first."""
        self._scorer, self._model, self._prompts = scorer, model, prompts
        self._known = events.first("baseline")
        if self._known is None:
            await scorer.check_judge(prompts)

    async def measured(self) -> Event:
        """The score, measured now if it is not known. What fails here ends the search."""
        if self._known is None:
            try:
                with self._journal.set_aside(len(self._prompts.prompts)):
                    scored = await self._scorer.score(self._model, self._prompts)
                scored.save(RunFiles(self._directory).answers({"event": "baseline"}))
            except (DaaError, RayError, OSError) as error:
                await self._journal.give_up(failure := explained(error, self._model, self._directory))
                raise failure from error
            self._known = {"checkpoint": self._model, **scored.numbers()}
            await self._journal.write("baseline", **self._known)
        return self._known

"""The capability guard's questions, put to models by an evaluation actor; in a search, to the base model and the finalists."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from evals.asking import ChatModel, Keep, Question, Reply, forget
from evals.benchmarks.score import BenchmarkScore
from evals.capability import CapabilitySuite
from evals.protocols.answering import Candidate
from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.evaluation_actors import ServedByActor
from orchestrator.cluster.judges import replies_directory
from orchestrator.cluster.runs.candidates import base_of_adapter
from orchestrator.cluster.session import find_actor
from orchestrator.errors import BudgetSpentError, UserError
from orchestrator.report.narration import Narrator
from orchestrator.run_files import RunFiles
from orchestrator.search.leaderboard import BASE, Row
from orchestrator.search.ledger import read_ledger
from orchestrator.settings import CapabilitySettings, Settings

# Between so many questions the time is looked at.
_AT_ONCE = 128


def suite_of(settings: CapabilitySettings) -> CapabilitySuite:
    """The suite that settings name. Raises UserError for one that cannot be asked, or where the harness is not installed."""
    suite = CapabilitySuite(settings.tasks, settings.limit, settings.task_files)
    suite.check()
    return suite


def scores_of(suite: CapabilitySuite, model: str, name: str, chat: Callable[[str], ChatModel]) -> list[BenchmarkScore]:
    """One model's scores; `chat` makes a chat model of a model, for an adapter of its base."""
    base = base_of_adapter(model)
    return suite.measure(chat(base or model), Candidate(name, str(Path(model).resolve()) if base else None))


def measure_finalists(settings: Settings, rows: Sequence[Row], hub: Any, directory: Path, story: Narrator) -> None:
    """Put the suite to the base model and to each finalist's best checkpoint, and write the scores to the ledger; to each model once.

    What cannot be asked, or not for what is left of the budget, is told: the finals are over, and their answer stands.
    """
    assert settings.finals.capability is not None and settings.model.base is not None
    asked = settings.finals.capability
    suite = CapabilitySuite(asked.tasks, asked.limit, asked.task_files)
    replies = str(replies_directory(settings.cache))
    known = {(each["trial"], each["checkpoint"]) for each in read_ledger(RunFiles(directory).ledger, "capability")}
    for trial, model in [(BASE, settings.model.base), *((row.trial, str(row.checkpoint)) for row in rows)]:
        if (trial, model) in known:
            continue
        try:
            _check_the_time(hub)
            with story.waiting(f"capability: {trial} answers"):
                scores = scores_of(suite, model, trial, lambda name: _OnTheClock(ServedByActor(find_actor("engine-0"), name, replies), hub))
        except UserError as error:
            story.say(f"[yellow]{escape(error.what)}[/yellow]: capability is not measured any further")
            ask(hub.note, "unmeasured", {"trial": trial, "checkpoint": model, "reason": error.what})
            return
        event = {"trial": trial, "checkpoint": model, "scores": [asdict(score) for score in scores]}
        ask(hub.note, "capability", event)


@dataclass(frozen=True)
class _OnTheClock:
    """A model that is asked only for as long as the search's time lasts."""

    model: ServedByActor
    hub: Any

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def identity(self) -> str:
        return self.model.identity

    @property
    def repeats_itself(self) -> bool:
        return self.model.repeats_itself

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """One reply per question, in order. Raises BudgetSpentError when the time is up."""
        replies: list[Reply] = []
        for start in range(0, len(questions), _AT_ONCE):
            _check_the_time(self.hub)
            for number, reply in enumerate(self.model.ask(questions[start : start + _AT_ONCE]), start):
                keep(number, reply)
                replies.append(reply)
        return replies


def _check_the_time(hub: Any) -> None:
    if (reason := ask(hub.time_is_up)) is not None:
        raise BudgetSpentError(reason, "finals.capability", "raise the budget, then resume: replies so far are remembered")

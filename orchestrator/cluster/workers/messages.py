"""What the hub answers to worker groups and to those who follow trials."""

from dataclasses import dataclass

from orchestrator.search.board import Job
from orchestrator.search.ledger import Event
from orchestrator.settings import Settings


@dataclass(frozen=True)
class Assignment:
    """An answer to a worker group that asks for work: a job; or to ask again (`wait`); or, with neither, to go home."""

    job: Job | None = None
    settings: Settings | None = None
    wait: bool = False


@dataclass(frozen=True)
class News:
    """An answer to whoever follows a trial: a score of a checkpoint, counted from 1; or its end (`over`); or, with neither, nothing yet."""

    score: Event | None = None
    checkpoint: int = 0
    over: bool = False

"""The ranking, recomputed from the ledger alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.search.board import Board, TrialRecord
from orchestrator.search.goal import Goal
from orchestrator.search.ledger import Event

BASE = "base"


@dataclass(frozen=True)
class Row:
    """A trial at its best checkpoint; win rates are percentages. Numbers are None for a trial that has no score.

    `step` is the step of that checkpoint, `stopped_at` the last step that was scored, `seconds` are those under way.
    """

    trial: str
    method: str
    hyperparameters: dict[str, Any]
    win_rate: float | None = None
    low: float | None = None
    high: float | None = None
    judged: int = 0
    unreadable: int = 0
    mean_length: float | None = None
    step: int | None = None
    stopped_at: int | None = None
    seconds: float | None = None
    status: str = ""
    reason: str = ""
    checkpoint: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


@dataclass(frozen=True)
class HeldOut:
    """The winner against the base model on prompts that the search never used."""

    trial: str
    win_rate: float
    low: float
    high: float
    judged: int
    unreadable: int


def leaderboard(events: Sequence[Event], goal: Goal) -> list[Row]:
    """All trials and the base model, the best first, trials without a score last."""
    board = Board.rebuilt(events, max_attempts=1)
    rows = [_row(record, events, goal) for record in board.records.values()]
    rows += [_scored(Row(BASE, BASE, {}, step=0, stopped_at=0), event, "baseline") for event in events if event["event"] == "baseline"]
    scored = [row for row in rows if row.win_rate is not None]
    return sorted(scored, key=lambda row: -goal.key(row.win_rate or 0.0)) + [row for row in rows if row.win_rate is None]


def winner(rows: Sequence[Row]) -> Row | None:
    """The best trial; None when no trial has a score."""
    return next((row for row in rows if row.trial != BASE and row.win_rate is not None), None)


def held_out(events: Sequence[Event]) -> HeldOut | None:
    """The last held-out comparison in the ledger."""
    found = [event for event in events if event["event"] == "held_out"]
    if not found:
        return None
    card = found[-1]["scorecard"]
    return HeldOut(found[-1]["trial"], **{key: card[key] for key in ("win_rate", "low", "high", "judged", "unreadable")})


def learning_curve(events: Sequence[Event], trial: str) -> list[tuple[int, float]]:
    """(step, win rate) of a trial's scores, by step."""
    return sorted(
        (event["step"], event["scorecard"]["win_rate"]) for event in events if event["event"] == "score" and event["trial"] == trial
    )


def _row(record: TrialRecord, events: Sequence[Event], goal: Goal) -> Row:
    row = Row(
        record.trial.id,
        record.trial.method,
        record.trial.described(),
        seconds=_seconds(record.trial.id, events),
        status=str(record.status),
        reason=record.reason,
        stopped_at=max(record.scores, default=None),
    )
    if not record.scores:
        return row
    best = goal.best(record.scores.values())
    return _scored(replace(row, step=best["step"]), best, row.status)


def _scored(row: Row, event: Event, status: str) -> Row:
    card = event["scorecard"]
    numbers = {key: card[key] for key in ("win_rate", "low", "high", "judged", "unreadable", "mean_length")}
    seconds = card["seconds"] if row.seconds is None else row.seconds
    return replace(row, **numbers, status=status, checkpoint=event["checkpoint"], seconds=seconds)


def _seconds(trial: str, events: Sequence[Event]) -> float | None:
    """Time under way, summed over attempts: what passes between a fault and the next attempt does not count."""
    total, started, latest = 0.0, None, None
    for event in events:
        if event.get("trial") != trial or event["event"] not in {"attempt", "checkpoint", "score", "end"}:
            continue
        if event["event"] == "attempt":
            total += (latest or 0.0) - (started or 0.0)
            started = event["time"]
        if started is not None:
            latest = event["time"]
    return None if started is None or latest is None else round(total + latest - started, 1)

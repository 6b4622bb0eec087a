"""The ranking, recomputed from the ledger alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.search.board import Board, TrialRecord
from orchestrator.search.goal import best_score
from orchestrator.search.ledger import CARD, Event, Events

BASE = "base"


@dataclass(frozen=True)
class Row:
    """A trial at its best checkpoint; win rates are percentages. Numbers are None for a trial that has no score.

    `unfinished` is the share of answers that were cut off, `step` the step of that checkpoint, `stopped_at` the last step that was scored;
    `seconds` are those under way.
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
    unfinished: float | None = None
    step: int | None = None
    stopped_at: int | None = None
    seconds: float | None = None
    status: str = ""
    reason: str = ""
    checkpoint: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def leaderboard(events: Events) -> list[Row]:
    """All trials and the base model, those scored on the most prompts first, of these the best; trials without a score last."""
    board = Board.rebuilt(events, max_attempts=1)
    seconds = _seconds(events)
    rows = [_row(record, seconds) for record in board.records.values() if record.until is None]
    rows += [_scored(Row(BASE, BASE, {}, step=0, stopped_at=0), event, "baseline") for event in events.of("baseline")]
    scored = [row for row in rows if row.win_rate is not None]
    ranked = sorted(scored, key=lambda row: (-row.judged - row.unreadable, -(row.win_rate or 0.0)))
    return ranked + [row for row in rows if row.win_rate is None]


def winner(rows: Sequence[Row]) -> Row | None:
    """The best trial; None when no trial has a score."""
    return next((row for row in rows if row.trial != BASE and row.win_rate is not None), None)


def latest_scores(events: Events) -> dict[str, dict[int, Event]]:
    """The score of each trial's checkpoints, by step, on as many prompts as each was scored on at last."""
    found: dict[str, dict[int, Event]] = {}
    for event in events.of("score"):
        found.setdefault(event["trial"], {})[event["step"]] = event
    return found


def _row(record: TrialRecord, seconds: Mapping[str, float]) -> Row:
    row = Row(
        record.trial.id,
        record.trial.method,
        record.trial.described(),
        seconds=seconds.get(record.trial.id),
        status=str(record.status),
        reason=record.reason,
        stopped_at=max(record.scores, default=None),
    )
    if not record.scores:
        return row
    best = best_score(record.scores.values())
    return _scored(replace(row, step=best["step"]), best, row.status)


def _scored(row: Row, event: Event, status: str) -> Row:
    card = event["scorecard"]
    numbers = {key: card[key] for key in CARD} | ({} if row.seconds is None else {"seconds": row.seconds})
    return replace(row, **numbers, unfinished=card.get("unfinished"), status=status, checkpoint=event["checkpoint"])


def _seconds(events: Sequence[Event]) -> dict[str, float]:
    """Each trial's time under way, summed over attempts: what passes between a fault or a pause and the next attempt does not count."""
    before: dict[str, float] = {}
    started: dict[str, float] = {}
    latest: dict[str, float] = {}
    for event in events:
        trial = event.get("trial")
        if trial is None or event["event"] not in {"attempt", "checkpoint", "score", "end", "pause"}:
            continue
        if event["event"] == "attempt":
            before[trial] = before.get(trial, 0.0) + latest.get(trial, 0.0) - started.get(trial, 0.0)
            started[trial] = event["time"]
        if event["event"] == "pause" and trial in started:
            before[trial] += event["time"] - started.pop(trial)
            latest.pop(trial)
        if trial in started:
            latest[trial] = event["time"]
    return {trial: round(known + latest.get(trial, 0.0) - started.get(trial, 0.0), 1) for trial, known in before.items()}

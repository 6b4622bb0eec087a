"""Ledger events as the hub writes them."""

from typing import Any

from orchestrator.search.ledger import Event
from orchestrator.search.trial import Trial

# What leaderboard.json promises of every row.
LEADERBOARD_KEYS = {
    "trial",
    "method",
    "hyperparameters",
    "win_rate",
    "low",
    "high",
    "judged",
    "unreadable",
    "step",
    "seconds",
    "status",
    "checkpoint",
}


def scorecard(win_rate: float, **other: Any) -> dict[str, Any]:
    """A scorecard in its JSON form, ten points wide."""
    return {
        "win_rate": win_rate,
        "low": win_rate - 5,
        "high": win_rate + 5,
        "judged": 100,
        "unreadable": 2,
        "mean_length": 80.0,
        "seconds": 3.5,
        **other,
    }


def joined(trial: Trial) -> Event:
    """A trial was submitted."""
    described = {"method": trial.method, "hyperparameters": dict(trial.hyperparameters), "training": dict(trial.training)}
    return {"event": "trial", "time": 0.0, "trial": trial.id, **described}


def attempted(trial: str, attempt: int = 1, time: float = 10.0, gang: str = "gang-0") -> Event:
    """A trial was handed to a worker group."""
    return {"event": "attempt", "time": time, "trial": trial, "attempt": attempt, "gang": gang}


def trained(trial: str, gang: str = "gang-0", time: float = 15.0) -> Event:
    """A worker group came to the end of a trial."""
    return {"event": "trained", "time": time, "trial": trial, "gang": gang}


def saved(trial: str, step: int, attempt: int = 1) -> Event:
    """A checkpoint came in."""
    return {"event": "checkpoint", "time": 15.0, "trial": trial, "attempt": attempt, "step": step, "checkpoint": f"{trial}/{step}"}


def scored(trial: str, step: int, win_rate: float, time: float = 20.0) -> Event:
    """A checkpoint was scored."""
    checkpoint = f"{trial}/{step}/model"
    return {"event": "score", "time": time, "trial": trial, "step": step, "checkpoint": checkpoint, "scorecard": scorecard(win_rate)}


def ended(trial: str, status: str, reason: str = "", time: float = 30.0) -> Event:
    """A trial is over."""
    return {"event": "end", "time": time, "trial": trial, "status": status, "reason": reason}


def baseline() -> Event:
    """The base model against itself."""
    return {"event": "baseline", "time": 5.0, "checkpoint": "base-model", "scorecard": scorecard(50.0)}


def held_out(trial: str, win_rate: float, **other: Any) -> Event:
    """The winner on held-out prompts."""
    return {"event": "held_out", "time": 40.0, "trial": trial, "checkpoint": "model", "scorecard": scorecard(win_rate, **other)}

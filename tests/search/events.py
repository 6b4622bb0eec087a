"""Ledger events as the hub writes them."""

from collections.abc import Mapping
from typing import Any

from evals.comparison import mean_influence
from orchestrator.search.ledger import Event
from orchestrator.search.trial import Trial
from orchestrator.settings import TrainingSettings

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


def of_training(**given: Any) -> dict[str, dict[str, Any]]:
    """The sections that all trials share, with training settings alone."""
    return {"training": TrainingSettings(**given).model_dump()}


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


def joined(trial: Trial, until: int | None = None, seed_of: str | None = None, **taken_over: Any) -> Event:
    """A trial was submitted, or a run of the finals, another seed of a trial; or one that takes over another's training."""
    of_finals = {} if until is None else {"until": until, "seed_of": seed_of}
    return {"event": "trial", "time": 0.0, "trial": trial.id, **trial.as_event(), **of_finals, **taken_over}


def attempted(trial: str, attempt: int = 1, time: float = 10.0, gang: str = "gang-0") -> Event:
    """A trial was handed to a worker group."""
    return {"event": "attempt", "time": time, "trial": trial, "attempt": attempt, "gang": gang}


def trained(trial: str, gang: str = "gang-0", time: float = 15.0) -> Event:
    """A worker group came to the end of a trial."""
    return {"event": "trained", "time": time, "trial": trial, "gang": gang}


def paused(trial: str, step: int, time: float = 15.0) -> Event:
    """A trial gave its worker group back at a checkpoint."""
    return {"event": "pause", "time": time, "trial": trial, "step": step}


def resumed(trial: str, step: int = 10, time: float = 25.0) -> Event:
    """The search asked for more of a paused trial."""
    return {"event": "resume", "time": time, "trial": trial, "step": step}


def saved(trial: str, step: int, attempt: int = 1) -> Event:
    """A checkpoint came in."""
    return {"event": "checkpoint", "time": 15.0, "trial": trial, "attempt": attempt, "step": step, "checkpoint": f"{trial}/{step}"}


def verdicts(*scores: float | None) -> dict[str, float | None]:
    """Verdicts by prompt: p0, p1 and so on."""
    return {f"p{number}": score for number, score in enumerate(scores)}


def card_of(found: Mapping[str, float | None]) -> dict[str, Any]:
    """The scorecard of some verdicts."""
    readable = [score for score in found.values() if score is not None]
    return scorecard(100 * sum(readable) / len(readable), judged=len(readable), unreadable=len(found) - len(readable))


def scored(trial: str, step: int, win_rate: float, time: float = 20.0, **other: Any) -> Event:
    """A checkpoint was scored to the last of its prompts, by two verdicts that leave its win rate so."""
    checkpoint = f"{trial}/{step}/model"
    told = {"scorecard": scorecard(win_rate), "verdicts": verdicts(win_rate / 100, win_rate / 100), "whole": True, **other}
    return {"event": "score", "time": time, "trial": trial, "step": step, "checkpoint": checkpoint, **told}


def scored_by(trial: str, step: int, found: Mapping[str, float | None]) -> Event:
    """A checkpoint was scored by these verdicts."""
    return scored(trial, step, 0.0, scorecard=card_of(found), verdicts=dict(found))


def ended(trial: str, status: str, reason: str = "", time: float = 30.0) -> Event:
    """A trial is over."""
    return {"event": "end", "time": time, "trial": trial, "status": status, "reason": reason}


def baseline() -> Event:
    """The base model against itself."""
    return {"event": "baseline", "time": 5.0, "checkpoint": "base-model", "scorecard": scorecard(50.0)}


def began(time: float = 0.0, gpus: float = 0.0, checkpoints: int = 2, prompts: int = 100) -> Event:
    """A session of a search begins, with one rung for each checkpoint."""
    laid = [{"checkpoint": number, "prompts": prompts} for number in range(1, checkpoints + 1)]
    return {"event": "begin", "time": time, "rungs": laid, "pairs": 64, "gpus": gpus, "final_runs": 0, "final_judgments": 0}


def capability(trial: str, share: float, questions: int = 100) -> Event:
    """A model was asked questions, and gave this share of right answers, to the first ones."""
    right = {f"sums {number}": float(number < share * questions) for number in range(questions)}
    figures = {"score": 100 * share, "standard_error": 5.0, "low": 100 * share - 10, "high": 100 * share + 10, "judged": questions}
    score = {"benchmark": "capability sums", "model": trial, "judge": "exact", "unreadable": 0, "details": {}, **figures}
    return {"event": "capability", "time": 45.0, "trial": trial, "scores": [{**score, "influence": mean_influence(right)}]}


def held_out(trial: str, found: Mapping[str, float | None], seed: int = 0, **other: Any) -> Event:
    """One seed of a finalist was scored on fresh prompts."""
    run = f"{trial}-seed{seed}" if seed else trial
    what = {"trial": trial, "seed": seed, "run": run, "checkpoint": f"{run}/model"}
    return {"event": "held_out", "time": 40.0, **what, "scorecard": {**card_of(found), **other}, "verdicts": dict(found)}

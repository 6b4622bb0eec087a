"""The Tune trainable: it submits a trial to the hub and reports its scores; what it has heard is its Tune checkpoint."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from orchestrator.cluster.asking import ask
from orchestrator.cluster.session import find_actor
from orchestrator.search.goal import asked
from orchestrator.search.ledger import Event
from orchestrator.search.trial import GENERATION, NUMBER, Origin, Trial

_HEARD = "heard.json"


@dataclass(frozen=True)
class Following:
    """How trials are followed: the hub's name, how many checkpoints each has, and whether the scheduler pauses them.

    `session` tells one run of the driver from another.
    """

    hub: str
    checkpoints: int
    pauses: bool = False
    session: str = ""


def trial_in(sample: Mapping[str, Any]) -> Trial:
    """The trial of a sample, as Tune keeps it."""
    return Trial.from_sample(sample[NUMBER], {key: value for key, value in sample.items() if key != NUMBER})


def follow_trial(sample: dict[str, Any], how: Following) -> None:
    """Submit the trial to the hub and report its scores as they come.

    Where the scheduler pauses, each report has a Tune checkpoint, after which a follower that is started again goes on. A scheduler does
    not outlive its driver: in another session the last score that was heard is reported to the next one again.
    """
    trial, origin = trial_in(sample), Origin.of(sample)
    actor = find_actor(how.hub)
    if origin is None:
        ask(actor.submit, trial)
    step, prompts = _heard(trial, how) or (origin.step if origin else 0, 0)
    while True:
        news = ask(actor.next_score, trial.id, step, prompts)
        if news.score is not None:
            step, prompts = news.score["step"], asked(news.score)
            run = {"run": trial.id, GENERATION: origin.generation if origin else 1}
            told = {**_told(news.score), **run, "checkpoint": news.checkpoint, "checkpoints": how.checkpoints}
            if how.pauses:
                with _kept(trial, step, prompts, how.session) as heard:
                    tune.report(told, checkpoint=heard)
            else:
                tune.report(told)
        elif news.over:
            return


def _told(score: Event) -> dict[str, Any]:
    """What Tune, its searchers and schedulers hear of a score."""
    card, training = score["scorecard"], score.get("training", {})
    numbers = {key: card[key] for key in ("win_rate", "low", "high", "mean_length")}
    health = {key: training.get(key, "") for key in ("health", "cure")}
    where = {"step": score["step"], "prompts": asked(score), "whole": score.get("whole", True)}
    return {**numbers, **health, **where, "verdicts": list(score["verdicts"].values())}


@contextmanager
def _kept(trial: Trial, step: int, prompts: int, session: str) -> Iterator[Any]:
    """What was heard of a trial, as a Tune checkpoint."""
    with tempfile.TemporaryDirectory() as directory:
        heard = {"trial": trial.id, "step": step, "prompts": prompts, "session": session}
        (Path(directory) / _HEARD).write_text(json.dumps(heard))
        yield tune.Checkpoint.from_directory(directory)


def _heard(trial: Trial, how: Following) -> tuple[int, int] | None:
    """Step and prompts of the last score that need not be reported again; None when nothing was heard of this very run."""
    checkpoint = tune.get_checkpoint() if how.pauses else None
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as directory:
        heard = json.loads((Path(directory) / _HEARD).read_text())
    if heard["trial"] != trial.id:
        return None
    return heard["step"], heard["prompts"] - (heard["session"] != how.session)

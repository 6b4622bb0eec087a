"""What ends a search in its middle leaves Tune so that a resumed search goes on with the rest."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.cluster.messages import News
from orchestrator.cluster.tuning import tune_trials
from orchestrator.errors import DaaError, JudgeUnavailableError
from orchestrator.search.board import Status
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import rungs
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from tests.search import events as made

TRIALS = 6


@ray.remote(num_cpus=0)
class Hub:
    """Scores each trial once, at its last checkpoint, up to the one before which the judge is gone."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._stopped: list[str] = []
        self._scored: list[str] = []
        self._judged = 2

    def judge_is_back(self) -> None:
        self._judged = TRIALS

    def submit(self, trial: Trial) -> None:
        self._known.setdefault(trial.id, len(self._known))

    def next_score(self, trial: str, step: int, prompts: int) -> News:
        if self._known[trial] >= self._judged:
            return News()
        if step:
            return News(over=True)
        self._scored.append(trial)
        return News({**made.scored(trial, 10, 60.0), "verdicts": {str(number): 1.0 for number in range(100)}}, 1)

    def stop(self, trial: str, status: Status, reason: str = "", grounds: Any = None) -> str:
        self._stopped.append(f"{trial} {status}")
        return str(status)

    def spent_out(self) -> None:
        """Nothing is bounded."""

    def fatal(self) -> DaaError | None:
        gone = self._judged < TRIALS and len(self._scored) >= self._judged
        return JudgeUnavailableError("no answer", "the judge", "wait, then resume") if gone else None

    def told(self) -> tuple[list[str], list[str], list[str]]:
        return list(self._known), self._scored, self._stopped


@pytest.fixture
def hub() -> Iterator[Any]:
    """A small Ray with a hub in it."""
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="leaving")
    yield Hub.options(name="hub").remote()
    ray.shutdown()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("searcher", ["random", "tpe"])
def test_after_a_judge_was_out_of_reach_every_trial_is_proposed_and_followed_to_its_end(hub: Any, tmp_path: Path, searcher: str) -> None:
    given = {"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, "training": {"batch_size": 10, "steps": 10, "checkpoints": 1}}
    search = {"methods": ["dpo"], "trials": TRIALS, "searcher": searcher, "scheduler": "none"}
    settings, plan = Settings.model_validate({**given, "search": search}), SearchPlan(rungs(1, 100)[-1:], pairs=100)
    with pytest.raises(JudgeUnavailableError, match="no answer"):
        tune_trials(settings, plan, "hub", tmp_path)
    known, scored, stopped = ray.get(hub.told.remote())
    assert len(known) < TRIALS
    assert all(each.endswith(" completed") for each in stopped), "a trial was given up"

    ray.get(hub.judge_is_back.remote())
    tune_trials(settings, plan, "hub", tmp_path)
    known, scored, stopped = ray.get(hub.told.remote())
    assert len(known) == TRIALS
    assert set(scored) == set(known)
    assert {f"{trial} completed" for trial in known} == set(stopped)

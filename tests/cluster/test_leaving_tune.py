"""What ends a search in its middle leaves Tune so that a resumed search goes on with the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.cluster.session import joined
from orchestrator.cluster.tune.tuning import tune_trials
from orchestrator.cluster.workers.messages import News
from orchestrator.errors import DaaError, JudgeUnavailableError, MachineError
from orchestrator.search.board import Status
from orchestrator.search.plan import SearchPlan
from orchestrator.search.racing import rungs
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from tests.search import events as made

TRIALS = 6


@ray.remote(num_cpus=0)
class Hub:
    """Scores each trial once, at its last checkpoint, up to the one before which the judge is gone, or this actor fails (`breaks`)."""

    def __init__(self, breaks: bool) -> None:
        self._breaks = breaks
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
            if self._breaks:
                raise RuntimeError("a fault of the hub")
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
        gone = not self._breaks and self._judged < TRIALS and len(self._scored) >= self._judged
        return JudgeUnavailableError("no answer", "the judge", "wait, then resume") if gone else None

    def told(self) -> tuple[list[str], list[str], list[str]]:
        return list(self._known), self._scored, self._stopped


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """A small Ray for all cases: the hub of each has a name of its own."""
    with joined("local", "leaving", cpus=2):
        yield


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("searcher", "breaks", "error", "words"),
    [
        ("random", False, JudgeUnavailableError, "no answer"),
        ("tpe", True, MachineError, "a trial could not be followed"),
    ],
)
def test_after_what_ended_it_every_trial_is_proposed_and_followed_to_its_end(
    ray_here: None, tmp_path: Path, searcher: str, breaks: bool, error: type[Exception], words: str
) -> None:
    hub: Any = Hub.options(name=searcher).remote(breaks)
    given = {"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, "training": {"batch_size": 10, "steps": 10, "checkpoints": 1}}
    search = {"methods": ["dpo"], "trials": TRIALS, "searcher": searcher, "scheduler": "none"}
    settings, plan = Settings.model_validate({**given, "search": search}), SearchPlan(rungs(1, 100)[-1:], pairs=100)
    with pytest.raises(error, match=words):
        tune_trials(settings, plan, searcher, tmp_path)
    known, scored, stopped = ray.get(hub.told.remote())
    assert len(known) < TRIALS
    assert all(each.endswith(" completed") for each in stopped), "a trial was given up"

    ray.get(hub.judge_is_back.remote())
    tune_trials(settings, plan, searcher, tmp_path)
    known, scored, stopped = ray.get(hub.told.remote())
    assert len(known) == TRIALS
    assert set(scored) == set(known)
    assert {f"{trial} completed" for trial in known} == set(stopped)

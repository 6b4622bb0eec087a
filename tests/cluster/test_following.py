"""What follows a trial goes on after what it has heard, and reports no checkpoint where no scheduler pauses."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from orchestrator.cluster.tune import following
from orchestrator.cluster.tune.following import Following, follow_trial, trial_in
from orchestrator.cluster.workers.messages import News
from orchestrator.search.trial import Origin
from tests.search import events as made

SAMPLE = {"number": 1, "method": "dpo", "dpo.beta": 0.1}
TAKEN = SAMPLE | Origin("002-dpo-cd34", 10, 2).as_sample()
STEPS = (10, 20)


class Tune:
    """Tune and the hub, as the trainable sees them: a trial with scores at two steps, the last of which ends it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.submitted: list[str] = []
        self.asked: list[tuple[int, int]] = []
        self.reported: list[dict[str, Any]] = []
        self.kept: list[Any] = []
        self._directory = directory
        self.restored: Any = None
        monkeypatch.setattr(following, "find_actor", lambda name: SimpleNamespace(submit=self.submit, next_score=self.next_score))
        monkeypatch.setattr(following, "ask", lambda method, *arguments: method(*arguments))
        monkeypatch.setattr(tune, "report", self.report)
        monkeypatch.setattr(tune, "get_checkpoint", lambda: self.restored)

    def submit(self, trial: Any) -> None:
        self.submitted.append(trial.id)

    def next_score(self, trial: str, step: int, prompts: int) -> News:
        self.asked.append((step, prompts))
        later = [each for each in STEPS if (each, 102) > (step, prompts)]
        return News(made.scored(trial, later[0], 50.0), STEPS.index(later[0]) + 1) if later else News(over=True)

    def report(self, result: dict[str, Any], checkpoint: Any = None) -> None:
        """Tune copies a checkpoint when it is reported."""
        self.reported.append(result)
        if checkpoint is not None:
            self.kept.append(tune.Checkpoint(checkpoint.to_directory(str(self._directory / str(len(self.kept))))))

    def follow(self, sample: dict[str, Any], how: Following, restored: Any = None) -> list[int]:
        """Follow a trial; the steps that are reported."""
        self.reported.clear()
        self.asked.clear()
        self.restored = restored
        follow_trial(sample, how)
        return [result["step"] for result in self.reported]


@pytest.fixture
def tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tune:
    return Tune(tmp_path, monkeypatch)


def test_a_follower_that_is_started_again_goes_on_after_what_it_has_heard(tuning: Tune) -> None:
    how = Following("hub", 2, pauses=True, session="a")
    assert tuning.follow(SAMPLE, how) == [10, 20]
    assert tuning.follow(SAMPLE, how, tuning.kept[0]) == [20]
    assert tuning.asked[0] == (10, 102)


def test_in_another_session_the_scheduler_hears_the_last_score_again(tuning: Tune) -> None:
    tuning.follow(SAMPLE, Following("hub", 2, pauses=True, session="a"))
    assert tuning.follow(SAMPLE, Following("hub", 2, pauses=True, session="b"), tuning.kept[1]) == [20]


def test_a_run_that_takes_up_anothers_training_is_followed_from_there_and_was_submitted_already(tuning: Tune) -> None:
    how = Following("hub", 2, pauses=True, session="a")
    tuning.follow(SAMPLE, how)
    tuning.submitted.clear()
    tuning.follow(TAKEN, how, tuning.kept[1])
    assert tuning.asked[0] == (10, 0)
    assert tuning.submitted == []
    assert {(result["run"], result["generation"]) for result in tuning.reported} == {(trial_in(TAKEN).id, 2)}


def test_where_no_scheduler_pauses_there_is_no_checkpoint(tuning: Tune) -> None:
    assert tuning.follow(SAMPLE, Following("hub", 2)) == [10, 20]
    assert tuning.kept == []
    assert tuning.submitted == [trial_in(SAMPLE).id]

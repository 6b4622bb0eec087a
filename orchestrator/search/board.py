"""Which trial waits, which trains where, which is over: decisions only, taken from events and told as values."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.search.goal import asked, best_score
from orchestrator.search.ledger import Event, damaged
from orchestrator.search.trial import Trial, trial_of


class Status(StrEnum):
    """Where a trial stands."""

    WAITING = "waiting"
    TRAINING = "training"
    PAUSED = "paused"
    TRAINED = "trained"
    STOPPED = "stopped"
    FAILED = "failed"
    CENSORED = "censored"
    COMPLETED = "completed"

    @property
    def is_over(self) -> bool:
        """True when nothing more will be trained or scored."""
        return self in {Status.STOPPED, Status.FAILED, Status.CENSORED, Status.COMPLETED}


@dataclass(frozen=True)
class Job:
    """A trial handed to a worker group; `attempt` counts from 1."""

    trial: Trial
    attempt: int


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a trial. `pending` are checkpoints (step to directory) whose score is not known yet.

    `attempt` counts how often it was handed out, `fruitless` how often since it last reached a checkpoint. `history` are all scores in the
    order of steps and prompts, `scores` the latest of each step. A run of the finals is trained `until` a step and not scored on the way.
    Training began at the step `start`, which is above 0 where it took up that of another run.
    """

    trial: Trial
    until: int | None = None
    start: int = 0
    status: Status = Status.WAITING
    attempt: int = 0
    fruitless: int = 0
    reason: str = ""
    scores: dict[int, Event] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    pending: dict[int, str] = field(default_factory=dict)

    def score_after(self, step: int, prompts: int) -> Event | None:
        """The first score beyond that of a step on so many prompts."""
        return next((event for event in self.history if (event["step"], asked(event)) > (step, prompts)), None)

    @property
    def told(self) -> tuple[int, int]:
        """Step and prompts of the last score; where it has none, the step at which training began."""
        return (self.history[-1]["step"], asked(self.history[-1])) if self.history else (self.start, 0)


class Board:
    """The state of a search's trials. It can be rebuilt from the ledger at any time."""

    def __init__(self, max_attempts: int) -> None:
        self.records: dict[str, TrialRecord] = {}
        self._max_attempts = max_attempts
        self._queue: deque[str] = deque()
        self._assigned: dict[str, str] = {}

    @staticmethod
    def rebuilt(events: Sequence[Event], max_attempts: int) -> "Board":
        """The board as the ledger tells it. A trial under way in this session still belongs to the group that had it, which goes on.

        What is told of a trial that did not join is passed over. Raises MachineError for a line that lacks what its event needs.
        """
        board = Board(max_attempts)
        for number, event in enumerate(events, 1):
            try:
                if board._is_known(event):
                    board._take(event)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise damaged(f"ledger.jsonl:{number}") from error
        return board

    def submit(self, trial: Trial, until: int | None = None, start: int = 0) -> bool:
        """Queue a trial; False when it is known already (a searcher restored after a fault submits again).

        One that takes up another's training at the step `start` is paused there.
        """
        if trial.id in self.records:
            return False
        self.records[trial.id] = TrialRecord(trial, until, start, Status.PAUSED if start else Status.WAITING)
        if not start:
            self._queue.append(trial.id)
        return True

    def pause(self, trial: str) -> bool:
        """Take a trial from its worker group, at a checkpoint; False when it is not under way."""
        if self.records[trial].status not in {Status.TRAINING, Status.WAITING}:
            return False
        self._assigned = {gang: other for gang, other in self._assigned.items() if other != trial}
        self._change(trial, status=Status.PAUSED, fruitless=0)
        return True

    def resume(self, trial: str) -> bool:
        """Queue a paused trial again; False when it is not paused."""
        if self.records[trial].status is not Status.PAUSED:
            return False
        self._change(trial, status=Status.WAITING)
        self._queue.append(trial)
        return True

    def take_back(self, gang: str) -> str | None:
        """A worker group that asks for work while it has a trial has died meanwhile: the trial goes to the front of the queue.

        Returns the trial instead when it has used its attempts without reaching another checkpoint: it is one that kills its workers.
        """
        trial = self._assigned.pop(gang, None)
        if trial is None or self.records[trial].status is not Status.TRAINING:
            return None
        if self.records[trial].fruitless >= self._max_attempts:
            return trial
        self._change(trial, status=Status.WAITING)
        self._queue.appendleft(trial)
        return None

    def held_by(self, gang: str) -> str | None:
        """The trial that a worker group has in its hands."""
        return self._assigned.get(gang)

    def lose(self, trial: str) -> None:
        """The worker group that had a trial is gone."""
        for gang in [gang for gang, held in self._assigned.items() if held == trial]:
            self.take_back(gang)

    def next_job(self, gang: str) -> Job | None:
        """The next trial for a worker group, or None when none waits."""
        while self._queue:
            record = self.records[self._queue.popleft()]
            if record.status is Status.WAITING:
                return Job(record.trial, self._hand_out(record.trial.id, gang))
        return None

    def adopt(self, gang: str, trial: str) -> None:
        """A group reports on a trial: it has it, even if this board was rebuilt since it was handed out."""
        self._assigned[gang] = trial
        if self.records[trial].status in {Status.WAITING, Status.PAUSED}:
            self._change(trial, status=Status.TRAINING)

    def checkpoint(self, trial: str, step: int, directory: str) -> bool:
        """Note a checkpoint; True when it is to be scored."""
        record = self.records[trial]
        judged = step in record.scores and record.scores[step].get("whole", True)
        if judged or step in record.pending or step <= record.start or record.status.is_over:
            return False
        if record.until is None:
            record.pending[step] = directory
        self._change(trial, fruitless=0)
        return record.until is None

    def damaged(self, trial: str, step: int) -> None:
        """A checkpoint was lost before it was scored: its trial is to be trained to it again."""
        self.records[trial].pending.pop(step, None)
        if self.records[trial].status is Status.TRAINED:
            self._change(trial, status=Status.WAITING)
            self._queue.append(trial)

    def scored(self, event: Event) -> None:
        """Note a score; `whole` says that nothing more is asked about its checkpoint."""
        record = self.records[event["trial"]]
        if event.get("whole", True):
            record.pending.pop(event["step"], None)
        record.scores[event["step"]] = event
        record.history.append(event)

    def trained(self, gang: str, trial: str) -> None:
        """Note that training reached its end or was stopped. A group whose trial was paused has nothing to tell of it any more."""
        if self._assigned.get(gang) != trial:
            return
        self._assigned.pop(gang)
        if not self.records[trial].status.is_over:
            self._change(trial, status=Status.TRAINED)

    @property
    def is_training(self) -> bool:
        """True while a worker group has a trial in its hands."""
        return bool(self._assigned)

    def is_complete(self, trial: str) -> bool:
        """True when the trial is trained and every checkpoint scored."""
        record = self.records[trial]
        return record.status is Status.TRAINED and not record.pending

    def steps_to_keep(self, trial: str) -> set[int]:
        """The steps whose checkpoints stay when the trial is over: its best and its last, or that of a run of the finals."""
        scores, until = self.records[trial].scores, self.records[trial].until
        if until is not None:
            return {until}
        if not scores:
            return set()
        return {max(scores), best_score(scores.values())["step"]}

    def end(self, trial: str, status: Status, reason: str = "") -> bool:
        """Close a trial; False when it was closed already."""
        if self.records[trial].status.is_over:
            return False
        self._change(trial, status=status, reason=reason)
        return True

    def _is_known(self, event: Event) -> bool:
        """Whether the trial that an event is about joined; True for one that is about none."""
        trial = event.get("trial")
        return event["event"] == "trial" or trial is None or trial in self.records

    def _take(self, event: Event) -> None:
        match event["event"]:
            case "begin":
                self._forgive()
            case "trial":
                self.submit(trial_of(event), event.get("until"), event.get("from_step", 0))
            case "attempt":
                self._hand_out(event["trial"], event["gang"])
            case "pause" | "resume" | "lost" as change:
                {"pause": self.pause, "resume": self.resume, "lost": self.lose}[change](event["trial"])
            case "trained":
                self.trained(event["gang"], event["trial"])
            case "checkpoint":
                self.checkpoint(event["trial"], event["step"], event["checkpoint"])
            case "damaged":
                self.damaged(event["trial"], event["step"])
            case "score":
                self.scored(event)
            case "end":
                self.end(event["trial"], Status(event["status"]), event["reason"])

    def _forgive(self) -> None:
        """Another session begins: what was under way ended with the one before, and not through its own fault.

        Who asks first goes on with it: the group that had it may be one of those that join later, or never.
        """
        for trial in reversed(self._assigned.values()):
            self._change(trial, fruitless=max(0, self.records[trial].fruitless - 1))
            if self.records[trial].status is Status.TRAINING:
                self._change(trial, status=Status.WAITING)
                self._queue.appendleft(trial)
        self._assigned.clear()

    def _hand_out(self, trial: str, gang: str) -> int:
        record = self.records[trial]
        self._change(trial, status=Status.TRAINING, attempt=record.attempt + 1, fruitless=record.fruitless + 1)
        self._assigned = {other: held for other, held in self._assigned.items() if held != trial} | {gang: trial}
        return record.attempt + 1

    def _change(self, trial: str, **changes: object) -> None:
        self.records[trial] = replace(self.records[trial], **changes)  # pyright: ignore[reportArgumentType]

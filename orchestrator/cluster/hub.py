"""Where training, evaluation and search meet: trials go out, checkpoints come in to be scored, scores go to whoever follows."""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from evals.prompts import PromptSet, load_prompts
from orchestrator.cluster.asking import patiently
from orchestrator.cluster.scoring import Scored, Scorer
from orchestrator.cluster.session import HEAD, find_actor
from orchestrator.errors import DaaError, MachineError
from orchestrator.output import send_output_to
from orchestrator.search.board import Board, Job, Status
from orchestrator.search.goal import Goal
from orchestrator.search.ledger import Event, read_ledger
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from orchestrator.training.checkpoint import keep_only
from orchestrator.training.records import training_of

_POLL_S = 10.0
_DRAIN_POLLS = 100


@dataclass(frozen=True)
class Assignment:
    """An answer to a worker group that asks for work: a job; or to ask again (`wait`); or, with neither, to go home."""

    job: Job | None = None
    settings: Settings | None = None
    wait: bool = False


@dataclass(frozen=True)
class News:
    """An answer to whoever follows a trial: a score; or its end (`over`); or, with neither, nothing yet."""

    score: Event | None = None
    over: bool = False


@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1)
class TrialHub:
    """Restarted after its process died, it rebuilds itself from the ledger."""

    def __init__(self, directory: str, engines: Sequence[str], judge: str, ledger: str) -> None:
        self._directory = Path(directory)
        send_output_to(self._directory / "logs" / "hub.log")
        # Names, not handles: Ray keeps handles in its object store, which a restart of this process may find empty.
        self._engines, self._judge, self._ledger = [find_actor(name) for name in engines], find_actor(judge), find_actor(ledger)
        self._goal = Goal()
        self._news = asyncio.Condition()
        self._began = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fatal: DaaError | None = None
        self._closing = False
        self._resuming = False

    async def begin(self, settings: Settings) -> Event:
        """Take up the search where the ledger has it: measure the base model, hand out trials. Returns the base model's score."""
        assert settings.model.base is not None and settings.evaluation.prompts is not None
        self._settings = settings
        self._prompts = load_prompts(settings.evaluation.prompts)
        self._scorer = Scorer(settings.model.base, settings.evaluation, self._directory / "responses")
        self._scorer.use(self._engines, self._judge)
        events = read_ledger(self._directory / "ledger.jsonl")
        self._board = Board.rebuilt(events, settings.cluster.max_attempts)
        baseline = next((event for event in events if event["event"] == "baseline"), None) or await self._measure_base(settings.model.base)
        for record in list(self._board.records.values()):
            for step, checkpoint in record.pending.items():
                self._spawn(self._score(record.trial.id, step, checkpoint))
            await self._complete(record.trial.id)
        self._began.set()
        return baseline

    async def submit(self, trial: Trial) -> None:
        """Queue a trial; one that is known already is left as it is."""
        await self._ready()
        if self._board.submit(trial):
            described = {"method": trial.method, "hyperparameters": dict(trial.hyperparameters), "training": dict(trial.training)}
            await self._write("trial", trial=trial.id, **described)
        await self._tell()

    async def next_job(self, gang: str) -> Assignment:
        """Work for a worker group; answers within seconds even when there is none."""
        if not self._began.is_set():
            await _soon(self._ready())
            return Assignment(wait=not self._closing)
        killer = self._board.take_back(gang)
        if killer is not None:
            await self._end(
                killer, Status.FAILED, f"its workers died {self._settings.cluster.max_attempts} times on the way to a checkpoint"
            )
        job = None if self._closing or self._fatal else self._board.next_job(gang)
        if job is not None:
            await self._write("attempt", trial=job.trial.id, attempt=job.attempt, gang=gang)
            return Assignment(job, self._settings)
        if not self._closing:
            await _soon(self._wait_for_news())
        return Assignment(wait=not self._closing)

    async def checkpoint(self, gang: str, job: Job, step: int, directory: str) -> bool:
        """Take a checkpoint in for scoring; the answer says whether to train on."""
        await self._ready()
        trial = job.trial.id
        self._board.adopt(gang, trial)
        if self._board.checkpoint(trial, step, directory):
            await self._write("checkpoint", trial=trial, attempt=job.attempt, step=step, checkpoint=directory)
            self._spawn(self._score(trial, step, directory))
        return not (self._board.records[trial].status.is_over or self._fatal or self._closing)

    async def trained(self, gang: str, trial: str) -> None:
        """Training came to its end, or was told to stop."""
        await self._ready()
        await self._write("trained", trial=trial, gang=gang)
        self._board.trained(gang, trial)
        self._clean_up(trial)
        await self._complete(trial)

    async def failed(self, gang: str, trial: str, error: DaaError) -> None:
        """Training gave up. What the machine did to it ends the search; what its configuration did ends the trial."""
        await self._ready()
        self._board.trained(gang, trial)
        if isinstance(error, MachineError):
            await self._give_up(error)
        else:
            await self._end(trial, Status.FAILED, error.what)

    async def stop(self, trial: str, status: Status) -> str:
        """The search is done with a trial: stopped early, or complete; one that is over already stays as it is.

        Returns how it ended, in words.
        """
        await self._ready()
        if trial not in self._board.records:
            return "never started"
        await self._end(trial, status)
        record = self._board.records[trial]
        return f"{record.status}: {record.reason}" if record.reason else str(record.status)

    async def next_score(self, trial: str, after: int) -> News:
        """The first score of a trial beyond step `after`; answers within seconds even when there is none. Raises what ended the search."""
        await self._ready()
        if self._fatal:
            raise self._fatal
        record = self._board.records[trial]
        later = min((step for step in record.scores if step > after), default=None)
        if later is not None:
            return News(score=record.scores[later])
        if not record.status.is_over:
            await _soon(self._wait_for_news())
        return News(over=record.status.is_over)

    async def score_held_out(self, trial: str, model: str) -> Event:
        """Score the winner on the prompts that the search never used."""
        await self._ready()
        assert self._settings.evaluation.held_out is not None
        scored = await self._scorer.score(model, load_prompts(self._settings.evaluation.held_out))
        scored.save(self._directory / "responses" / trial / "held-out.jsonl")
        event = {"trial": trial, "checkpoint": model, **scored.numbers()}
        await self._write("held_out", **event)
        return event

    async def fatal(self) -> DaaError | None:
        """What ended the search, if anything did."""
        return self._fatal

    async def is_closing(self) -> bool:
        """True when worker groups are to go home."""
        return self._closing

    async def close(self) -> None:
        """Send the worker groups home; those that are busy hear of it at their next checkpoint, for which this waits a little."""
        self._closing = True
        await self._tell()
        for _ in range(_DRAIN_POLLS):
            if not self._board.is_training:
                return
            await asyncio.sleep(0.1)

    async def _ready(self) -> None:
        """After a restart of this process, begin again by itself."""
        if not self._began.is_set() and not self._resuming and ray.get_runtime_context().was_current_actor_reconstructed:
            self._resuming = True
            await self.begin(Settings.model_validate_json((self._directory / "settings.json").read_text()))
        await self._began.wait()

    async def _measure_base(self, model: str) -> Event:
        await self._scorer.check_judge(self._prompts)
        scored = await self._scorer.score(model, self._prompts)
        event = {"checkpoint": model, **scored.numbers()}
        await self._write("baseline", **event)
        return event

    async def _score(self, trial: str, step: int, checkpoint: str) -> None:
        """Score one checkpoint in the background. A failure ends the search, unless the search has dropped the trial meanwhile."""
        scored = await self._scored_or_none(trial, f"{checkpoint}/model", self._prompts)
        if scored is None or self._board.records[trial].status.is_over:
            return
        scored.save(self._directory / "responses" / trial / f"step-{step:06d}.jsonl")
        told = training_of(Path(checkpoint).parent, step)
        event = {"trial": trial, "step": step, "checkpoint": f"{checkpoint}/model", "training": told, **scored.numbers()}
        vetoed = [finding for finding in scored.card.findings if finding.guard in self._settings.evaluation.veto]
        if vetoed:
            await self._write("veto", **event)
            await self._end(trial, Status.FAILED, f"vetoed at step {step}: {vetoed[0].detail}")
            return
        await self._write("score", **event)
        self._board.scored(event)
        await self._complete(trial)

    async def _scored_or_none(self, trial: str, model: str, prompts: PromptSet) -> Scored | None:
        try:
            return await self._scorer.score(model, prompts)
        except (DaaError, RayError) as error:
            if not self._board.records[trial].status.is_over:
                unknown = MachineError(f"an evaluation failed: {error!r}", model, f"see {self._directory / 'logs'}")
                await self._give_up(error if isinstance(error, DaaError) else unknown)
            return None

    async def _complete(self, trial: str) -> None:
        if self._board.is_complete(trial):
            await self._end(trial, Status.COMPLETED)
        await self._tell()

    async def _end(self, trial: str, status: Status, reason: str = "") -> None:
        if self._board.end(trial, status, reason):
            await self._write("end", trial=trial, status=str(status), reason=reason)
            self._clean_up(trial)
        await self._tell()

    def _clean_up(self, trial: str) -> None:
        if self._board.records[trial].status.is_over:
            keep_only(self._directory / "checkpoints" / trial, self._board.steps_to_keep(trial, self._goal))

    async def _give_up(self, error: DaaError) -> None:
        self._fatal = self._fatal or error
        await self._write("fatal", what=error.what, where=error.where, cure=error.cure)
        await self._tell()

    async def _write(self, event: str, **values: Any) -> None:
        """Write to the ledger; a ledger that cannot be written ends the search, but never a conversation with workers half-way."""
        try:
            await patiently(self._ledger.append, event, values)
        except DaaError as error:
            self._fatal = self._fatal or error
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _wait_for_news(self) -> None:
        async with self._news:
            await self._news.wait()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _soon(event: Awaitable[Any]) -> None:
    """Wait, but not longer than a poll."""
    try:
        await asyncio.wait_for(event, _POLL_S)
    except TimeoutError:
        return

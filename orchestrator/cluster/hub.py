"""Where training, evaluation and search meet: trials go out, checkpoints come in to be scored, scores go to whoever follows."""

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from evals.prompts import PromptSet, load_prompts
from orchestrator.cluster.assessing import Assessor
from orchestrator.cluster.journal import Bell, Journal
from orchestrator.cluster.messages import Assignment, News
from orchestrator.cluster.pausing import Pausing
from orchestrator.cluster.proxies import Proxies
from orchestrator.cluster.scoring import Scorer
from orchestrator.cluster.session import HEAD, find_actor
from orchestrator.errors import DaaError, MachineError, TrainingDivergedError
from orchestrator.output import send_output_to
from orchestrator.search.board import Board, Job, Status
from orchestrator.search.goal import Goal
from orchestrator.search.ledger import Event, answers_of, read_ledger
from orchestrator.search.plan import SearchPlan, in_order
from orchestrator.search.trial import Origin, Trial
from orchestrator.settings import Settings
from orchestrator.training.checkpoint import keep_only
from orchestrator.training.records import training_of

_POLL_S = 10.0
_DRAIN_POLLS = 100


@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1)
class TrialHub:
    """Restarted after its process died, it rebuilds itself from the ledger."""

    def __init__(self, directory: str, engines: Sequence[str], judge: str, ledger: str) -> None:
        self._directory = Path(directory)
        send_output_to(self._directory / "logs" / "hub.log")
        # Names, not handles: Ray keeps handles in its object store, which a restart of this process may find empty.
        self._engines, self._judge = [find_actor(name) for name in engines], find_actor(judge)
        self._bell = Bell()
        self._journal = Journal(find_actor(ledger), self._bell)
        self._assessor = Assessor(self._directory, self._journal, self._bell, self)
        self._goal = Goal()
        self._began = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spent_out: str | None = None
        self._closing = False
        self._resuming = False

    async def begin(self, settings: Settings, plan: SearchPlan | None = None) -> Event:
        """Take up the search where the ledger has it: measure the base model, hand out trials. Returns the base model's score.

        Without a `plan`, the session that has one goes on.
        """
        assert settings.model.base is not None and settings.evaluation.prompts is not None
        self._settings = settings
        events = read_ledger(self._directory / "ledger.jsonl")
        self._journal.recall(events)
        if plan is None:
            plan = SearchPlan.of(next(event for event in reversed(events) if event["event"] == "begin"))
        else:
            await self._journal.write("begin", **plan.as_dict())
        prompts = in_order(load_prompts(settings.evaluation.prompts), settings.search.seed)
        self._scorer = Scorer(settings.model.base, settings.evaluation, self._directory / "responses")
        self._scorer.use(self._engines, self._judge)
        self._board = Board.rebuilt(events, settings.cluster.max_attempts)
        self._assessor.use(settings, plan, self._board, self._scorer, prompts, Proxies(settings.ladder, events))
        self._pausing = Pausing(self._directory, settings.search, self._board, self._assessor, self._journal, self)
        self._journal.keep_back(plan.final_runs, plan.final_judgments)
        baseline = next((event for event in events if event["event"] == "baseline"), None) or await self._measure_base(prompts)
        for record in list(self._board.records.values()):
            for step, checkpoint in sorted(record.pending.items()):
                self._spawn(self._assessor.assess(record.trial.id, step, checkpoint))
            await self.complete(record.trial.id)
        self._spawn(self._watch_the_budget())
        self._began.set()
        return baseline

    async def submit(self, trial: Trial, until: int | None = None, seed_of: str | None = None) -> None:
        """Queue a trial, or a run of the finals: another seed of a trial, trained `until` a step. One that is known is left as it is."""
        await self._ready()
        # The finals spend what was kept back for them.
        if (self._spent_out is None or until is not None) and self._board.submit(trial, until):
            described = {"method": trial.method, "hyperparameters": dict(trial.hyperparameters), "training": dict(trial.training)}
            of_finals = {} if until is None else {"until": until, "seed_of": seed_of}
            await self._journal.write("trial", trial=trial.id, **described, **of_finals)
        await self._bell.ring()

    async def next_job(self, gang: str) -> Assignment:
        """Work for a worker group; answers within seconds even when there is none."""
        if not self._began.is_set():
            await _soon(self._ready())
            return Assignment(wait=not self._closing)
        killer = self._board.take_back(gang)
        if killer is not None:
            await self.end(
                killer, Status.FAILED, f"its workers died {self._settings.cluster.max_attempts} times on the way to a checkpoint"
            )
        job = None if self._closing or self._journal.fatal else self._board.next_job(gang)
        if job is not None:
            await self._journal.write("attempt", trial=job.trial.id, attempt=job.attempt, gang=gang)
            return Assignment(job, self._settings)
        if not self._closing:
            await _soon(self._bell.wait())
        return Assignment(wait=not self._closing)

    async def checkpoint(self, gang: str, job: Job, step: int, directory: str) -> bool:
        """Take a checkpoint in for scoring; the answer says whether to train on."""
        await self._ready()
        trial = job.trial.id
        self._board.adopt(gang, trial)
        if self._board.checkpoint(trial, step, directory):
            await self._journal.write("checkpoint", trial=trial, attempt=job.attempt, step=step, checkpoint=directory)
            told = training_of(Path(directory).parent, step)
            if told.get("health") in self._settings.search.censor:
                await self.end(trial, Status.CENSORED, f"{told['health']} at step {step}: {told['cure']}")
            else:
                self._spawn(self._assessor.assess(trial, step, directory))
        record = self._board.records[trial]
        if record.until is not None and step >= record.until:
            await self.end(trial, Status.COMPLETED)
        return await self._pausing.goes_on(trial, step) and not (self._journal.fatal or self._closing)

    async def trained(self, gang: str, trial: str) -> None:
        """Training came to its end, or was told to stop."""
        await self._ready()
        await self._journal.write("trained", trial=trial, gang=gang)
        self._board.trained(gang, trial)
        self._clean_up(trial)
        await self.complete(trial)

    async def failed(self, gang: str, trial: str, error: DaaError) -> None:
        """Training gave up. What the machine did to it ends the search; what its configuration did ends the trial."""
        await self._ready()
        self._board.trained(gang, trial)
        if isinstance(error, MachineError):
            await self._journal.give_up(error)
        else:
            await self.end(trial, Status.CENSORED if isinstance(error, TrainingDivergedError) else Status.FAILED, error.what)

    async def stop(self, trial: str, status: Status, reason: str = "", grounds: Mapping[str, Any] | None = None) -> str:
        """The search is done with a trial: stopped early, or complete; one that is over already stays as it is.

        `grounds` say what the reason is computed from. Returns how it ended, in words.
        """
        await self._ready()
        if trial not in self._board.records:
            return f"never started: {self._spent_out}" if self._spent_out else "never started"
        await self.end(trial, status, reason, grounds)
        record = self._board.records[trial]
        return f"{record.status}: {record.reason}" if record.reason else str(record.status)

    async def next_score(self, trial: str, step: int, prompts: int) -> News:
        """The first score of a trial beyond that of `step` on so many `prompts`, which the search has heard.

        Answers within seconds even when there is none. Raises what ended the search.
        """
        await self._ready()
        if self._journal.fatal:
            raise self._journal.fatal
        record = self._board.records.get(trial)
        if record is None:
            return News(over=True)
        await self._pausing.heard(trial, step, prompts)
        self._assessor.heard(trial, step, prompts)
        await self._bell.ring()
        later = record.score_after(step, prompts)
        if later is not None:
            return News(later, self._assessor.checkpoint_of(trial, later["step"]))
        if record.status.is_over:
            return News(over=True)
        await _soon(self._bell.wait())
        return News()

    async def take_over(self, trial: Trial, origin: Origin, instead_of: str) -> bool:
        """Another run goes on from `origin` in the place of one that ends; False when that cannot be."""
        await self._ready()
        return self._spent_out is None and await self._pausing.take_over(trial, origin, instead_of)

    async def score_held_out(self, finalist: str, seed: int, run: str, model: str, judge: str | None = None) -> None:
        """Score one seed of a finalist on the prompts that the search never used, perhaps by a judge that it never asked."""
        await self._ready()
        assert self._settings.evaluation.held_out is not None
        known = read_ledger(self._directory / "ledger.jsonl")
        if any(event["event"] == "held_out" and event["run"] == run for event in known):
            return
        prompts = load_prompts(self._settings.evaluation.held_out)
        if (reason := self._journal.exhausted(self._settings.budget, len(prompts.prompts))) is not None:
            await self.spend_out(reason)
            return
        with self._journal.set_aside(len(prompts.prompts)):
            scored = await self._scorer.score(model, prompts, find_actor(judge) if judge else None)
        event = {"trial": finalist, "seed": seed, "run": run, "checkpoint": model, **scored.numbers()}
        scored.save(answers_of(self._directory, {"event": "held_out", **event}))
        await self._journal.write("held_out", **event)

    async def wait_for(self, trial: str) -> Status:
        """Where a trial stands; answers within seconds, at once when it is over. Raises what ended the search."""
        await self._ready()
        if self._journal.fatal:
            raise self._journal.fatal
        if trial in self._board.records and not self._board.records[trial].status.is_over:
            await _soon(self._bell.wait())
        return self._board.records[trial].status if trial in self._board.records else Status.STOPPED

    async def begin_finals(self) -> None:
        """What was kept back for the finals may be spent."""
        await self._ready()
        self._journal.keep_back(0, 0)

    async def fatal(self) -> DaaError | None:
        """What ended the search, if anything did."""
        return self._journal.fatal

    async def spent_out(self) -> str | None:
        """The budget that is used up, in words, if one is."""
        return self._spent_out

    async def is_closing(self) -> bool:
        """True when worker groups are to go home."""
        return self._closing

    async def close(self) -> None:
        """Send the worker groups home; those that are busy hear of it at their next checkpoint, for which this waits a little."""
        self._closing = True
        await self._bell.ring()
        for _ in range(_DRAIN_POLLS):
            if not self._board.is_training:
                return
            await asyncio.sleep(0.1)

    async def end(self, trial: str, status: Status, reason: str = "", grounds: Mapping[str, Any] | None = None) -> None:
        """Close a trial; one that is closed stays as it is."""
        if self._board.end(trial, status, reason):
            await self._journal.write("end", trial=trial, status=str(status), reason=reason, **(grounds or {}))
            self._clean_up(trial)
        await self._bell.ring()

    async def complete(self, trial: str) -> None:
        """Close a trial that is trained and scored."""
        if self._board.is_complete(trial):
            await self.end(trial, Status.COMPLETED)
        await self._bell.ring()

    async def spend_out(self, reason: str) -> None:
        """A budget is used up: all trials end with what is known of them."""
        if self._spent_out is None:
            self._spent_out = reason
            await self._journal.write("spent", reason=reason, **self._journal.spent().as_dict())
        for trial in list(self._board.records):
            await self.end(trial, Status.STOPPED, reason)

    async def _ready(self) -> None:
        """After a restart of this process, begin again by itself."""
        if not self._began.is_set() and not self._resuming and ray.get_runtime_context().was_current_actor_reconstructed:
            self._resuming = True
            await self.begin(Settings.model_validate_json((self._directory / "settings.json").read_text()))
        await self._began.wait()

    async def _measure_base(self, prompts: PromptSet) -> Event:
        model = self._settings.model.base
        assert model is not None
        await self._scorer.check_judge(prompts)
        scored = await self._scorer.score(model, prompts)
        scored.save(answers_of(self._directory, {"event": "baseline"}))
        event = {"checkpoint": model, **scored.numbers()}
        await self._journal.write("baseline", **event)
        return event

    async def _watch_the_budget(self) -> None:
        """Time passes whether or not anything is scored."""
        while not self._closing and self._spent_out is None:
            await asyncio.sleep(1.0)
            if (reason := self._journal.exhausted(self._settings.budget)) is not None:
                await self.spend_out(reason)

    def _clean_up(self, trial: str) -> None:
        if self._board.records[trial].status.is_over:
            keep_only(self._directory / "checkpoints" / trial, self._board.steps_to_keep(trial, self._goal))

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

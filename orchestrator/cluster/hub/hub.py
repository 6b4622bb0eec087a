"""Where training, evaluation and search meet: trials go out, checkpoints come in to be scored, scores go to whoever follows."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from evals.prompts import load_prompts
from orchestrator.cluster.hub.assessing import Assessor, explained
from orchestrator.cluster.hub.base_score import BaseScore
from orchestrator.cluster.hub.held_out import HeldOutScores
from orchestrator.cluster.hub.journal import Background, Bell, Journal, soon
from orchestrator.cluster.hub.pausing import Pausing
from orchestrator.cluster.hub.proxies import Proxies
from orchestrator.cluster.hub.recovering import taken_up, was_begun
from orchestrator.cluster.hub.scoring import Scorer
from orchestrator.cluster.hub.spending import Purse
from orchestrator.cluster.hub.turns import Turns
from orchestrator.cluster.session import HEAD, find_actor
from orchestrator.cluster.workers.messages import Assignment, News
from orchestrator.errors import DaaError, MachineError, TrainingDivergedError
from orchestrator.output import send_output_to
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Job, Status
from orchestrator.search.ledger import Event, read_ledger
from orchestrator.search.plan import SearchPlan, in_order
from orchestrator.search.trial import Origin, Trial
from orchestrator.settings import Settings
from orchestrator.training.records import training_of
from orchestrator.training.tidying import keep_only
from orchestrator.versions import installed_versions

_DRAIN_POLLS = 100


@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1)
class TrialHub:
    """Restarted after its process died, it rebuilds itself from the ledger."""

    def __init__(self, directory: str, engines: Sequence[str], judge: str, ledger: str, sessions: int = 0) -> None:
        self._directory, self._sessions = Path(directory), sessions
        send_output_to(RunFiles(self._directory).log("hub"))
        # Names, not handles: Ray keeps handles in its object store, which a restart of this process may find empty.
        self._engines, self._judge = [find_actor(name) for name in engines], find_actor(judge)
        self._bell = Bell()
        self._journal = Journal(find_actor(ledger), self._bell)
        self._assessor = Assessor(self._directory, self._journal, self._bell, self)
        self._purse = Purse(self._journal, self)
        self._held_out = HeldOutScores(self._directory, self._journal, self._purse)
        self._base = BaseScore(self._directory, self._journal)
        self._began, self._closing, self._background = asyncio.Event(), False, Background()
        self._beginning: asyncio.Future[None] | None = None

    async def begin(self, settings: Settings, plan: SearchPlan | None = None) -> None:
        """Take up the search where the ledger has it, and hand out trials, once a judge that was never asked has answered.

        Without a `plan`, the session that has one goes on. Asked again meanwhile, as by a driver whose first call was lost, it begins once.
        """
        if self._beginning is None:
            self._beginning = asyncio.ensure_future(self._begin(settings, plan))
        await asyncio.shield(self._beginning)

    async def _begin(self, settings: Settings, plan: SearchPlan | None) -> None:
        assert settings.model.base is not None and settings.evaluation.prompts is not None
        self._settings = settings
        events = read_ledger(RunFiles(self._directory).ledger)
        self._journal.recall(events)
        is_restart = plan is None
        if plan is None:
            plan = SearchPlan.of(events.of("begin")[-1])
        else:
            await self._journal.write("begin", **plan.as_dict(), versions=installed_versions())
        prompts = in_order(load_prompts(settings.evaluation.prompts), settings.search.seed)
        self._turns = Turns(settings.cluster.turns, training=is_restart)
        self._scorer = Scorer(settings.model.base, settings.evaluation, RunFiles(self._directory), self._turns)
        self._scorer.use(self._engines, self._judge)
        self._board = await taken_up(events, settings.cluster.max_attempts, self._journal, is_restart)
        self._assessor.use(settings, plan, self._board, self._scorer, prompts, Proxies(settings.ladder, events))
        self._pausing = Pausing(self._directory, settings.search, self._board, self._assessor, self._journal, self)
        self._purse.use(settings.budget, self._board)
        self._held_out.use(settings.evaluation, self._scorer)
        if is_restart and events.within_finals:
            self._purse.take_up_finals()
        else:
            self._journal.keep_back(*plan.left_for_finals(events))
        await self._base.use(self._scorer, settings.model.base, prompts, events)
        for record in list(self._board.records.values()):
            for step, checkpoint in sorted(record.pending.items()):
                self._background.begin(self._assessor.assess(record.trial.id, step, checkpoint))
            await self.complete(record.trial.id)
        self._background.begin(self._purse.watch(lambda: self._closing))
        self._began.set()

    async def baseline(self) -> Event:
        """The base model's score, measured now if it is not known. What fails here ends the search."""
        await self._ready()
        return await self._base.measured()

    async def submit(self, trial: Trial, until: int | None = None, seed_of: str | None = None) -> None:
        """Queue a trial, or a run of the finals: another seed of a trial, trained `until` a step. One that is known is left as it is."""
        await self._ready()
        if self._purse.ended(finals=until is not None) is None and self._board.submit(trial, until):
            of_finals = {} if until is None else {"until": until, "seed_of": seed_of}
            await self._journal.write("trial", trial=trial.id, **trial.as_event(), **of_finals)
        await self._bell.ring()

    async def next_job(self, gang: str) -> Assignment:
        """Work for a worker group; answers within seconds even when there is none."""
        if not self._began.is_set():
            await soon(self._ready())
            return Assignment(wait=not self._closing)
        await self._take_back(gang)
        job = None if self._closing or self._journal.fatal else self._board.next_job(gang)
        if job is not None:
            await self._journal.write("attempt", trial=job.trial.id, attempt=job.attempt, gang=gang)
            await self._turns.begin_training()
            return Assignment(job, self._settings)
        if not self._closing:
            await soon(self._bell.wait())
        return Assignment(wait=not self._closing)

    async def lost(self, gang: str, reason: str = "") -> None:
        """A worker group's processes are gone, for a reason that may be known: who asks first goes on with its trial."""
        await self._ready()
        if (trial := self._board.held_by(gang)) is not None:
            await self._journal.write("lost", trial=trial, gang=gang, reason=reason)
        await self._take_back(gang, reason)
        await self._bell.ring()

    async def checkpoint(self, gang: str, job: Job, step: int, directory: str) -> bool:
        """Take a checkpoint in for scoring; the answer says whether to train on."""
        await self._ready()
        trial = job.trial.id
        self._board.adopt(gang, trial)
        # Read before the board notes anything: a path that is gone fails here, and the group tells the checkpoint again.
        told = training_of(Path(directory).parent, step)
        if self._board.checkpoint(trial, step, directory):
            await self._journal.write("checkpoint", trial=trial, attempt=job.attempt, step=step, checkpoint=directory)
            if told.get("health") in self._settings.search.censor:
                await self.end(trial, Status.CENSORED, f"{told['health']} at step {step}: {told['cure']}")
            else:
                self._background.begin(self._assessor.assess(trial, step, directory))
        record = self._board.records[trial]
        if record.until is not None and step >= record.until:
            await self.end(trial, Status.COMPLETED)
        await self._turns.at_checkpoint()
        return await self._pausing.goes_on(trial, step) and not (self._journal.fatal or self._closing)

    async def trained(self, gang: str, trial: str) -> None:
        """Training came to its end, or was told to stop: when that was because the session ends, the next one trains on."""
        await self._ready()
        if self._journal.fatal or self._closing:
            self._board.take_back(gang)
        else:
            await self._journal.write("trained", trial=trial, gang=gang)
            self._board.trained(gang, trial)
        self._clean_up(trial)
        await self.complete(trial)

    async def failed(self, gang: str, trial: str, error: DaaError) -> None:
        """Training gave up. What the machine did to it ends the search; what its configuration did ends the trial."""
        await self._ready()
        self._board.trained(gang, trial)
        # A trial that is over has had its files taken away under its workers' hands.
        if isinstance(error, MachineError) and not self._board.records[trial].status.is_over:
            await self._journal.give_up(error)
        else:
            await self.end(trial, Status.CENSORED if isinstance(error, TrainingDivergedError) else Status.FAILED, error.what)

    async def stop(self, trial: str, status: Status, reason: str = "", grounds: Mapping[str, Any] | None = None) -> str:
        """The search is done with a trial: stopped early, or complete; one that is over already stays as it is.

        `grounds` say what the reason is computed from. Returns how it ended, in words.
        """
        await self._ready()
        if trial not in self._board.records:
            return f"never started: {spent}" if (spent := self._purse.ended(finals=False)) else "never started"
        await self.end(trial, status, reason, grounds)
        record = self._board.records[trial]
        return f"{record.status}: {record.reason}" if record.reason else str(record.status)

    async def next_score(self, trial: str, step: int, prompts: int) -> News:
        """The first score of a trial beyond that of `step` on so many `prompts`, which the search has heard.

        Answers within seconds even when there is none. When something ended the search, its driver hears of it otherwise.
        """
        await self._ready()
        record = self._board.records.get(trial)
        if record is None:
            return News(over=True)
        await self._pausing.heard(trial, step, prompts)
        await self._assessor.hear(trial, step, prompts)
        later = record.score_after(step, prompts)
        if later is not None:
            return News(later, self._assessor.checkpoint_of(trial, later["step"]))
        if record.status.is_over:
            return News(over=True)
        await soon(self._bell.wait())
        return News()

    async def take_over(self, trial: Trial, origin: Origin, instead_of: str) -> bool:
        """Another run goes on from `origin` in the place of one that ends; False when that cannot be."""
        await self._ready()
        return self._purse.ended(finals=False) is None and await self._pausing.take_over(trial, origin, instead_of)

    async def score_held_out(self, finalist: str, seed: int, run: str, model: str, judge: str | None = None) -> Event | None:
        """Score one seed of a finalist on the prompts that the search never used, perhaps by a judge that it never asked."""
        await self._ready()
        return await self._held_out.score(finalist, seed, run, model, judge)

    async def wait_for(self, trial: str) -> Status:
        """Where a trial stands; answers within seconds, at once when it is over. Raises what ended the search."""
        await self._ready()
        if self._journal.fatal:
            raise self._journal.fatal
        if trial in self._board.records and not self._board.records[trial].status.is_over:
            await soon(self._bell.wait())
        return self._board.records[trial].status if trial in self._board.records else Status.STOPPED

    async def begin_finals(self) -> None:
        """What was kept back for the finals may be spent."""
        await self._ready()
        await self._purse.begin_finals()

    async def verdicts_are_in(self) -> bool:
        """Whether no verdict of the search is on its way; answers within seconds. What was asked for is paid for, and may matter."""
        await self._ready()
        if self._assessor.is_judging:
            await soon(self._bell.wait())
        return not self._assessor.is_judging

    async def note(self, event: str, values: Event) -> None:
        """Write down what others measured."""
        await self._journal.write(event, **values)

    async def fatal(self) -> DaaError | None:
        """What ended the search, if anything did."""
        return self._journal.fatal

    async def spent_out(self, finals: bool = False) -> str | None:
        """The bound of the budget that ended the search, or the finals, in words, if one did."""
        return self._purse.ended(finals)

    async def time_is_up(self) -> str | None:
        """The bound of hours that is reached, in words, if one is."""
        return self._purse.time_is_up()

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
        await self._purse.spend_out(reason)

    async def _ready(self) -> None:
        """After a restart of this process, begin again by itself: who asks waits for it, and what prevents it ends the search."""
        if not self._began.is_set() and was_begun(self._directory, self._sessions, self._beginning is not None):
            try:
                await self.begin(Settings.model_validate_json(RunFiles(self._directory).settings.read_text()))
            except (DaaError, RayError, OSError) as error:
                await self._journal.give_up(explained(error, "the search's ledger", self._directory))
                raise
        await self._began.wait()

    async def _take_back(self, gang: str, reason: str = "") -> None:
        await self._turns.end_training()
        if (killer := self._board.take_back(gang)) is not None:
            what = f"its workers died {self._settings.cluster.max_attempts} times on the way to a checkpoint: {reason or 'see the logs'}"
            await self.end(killer, Status.FAILED, what)

    def _clean_up(self, trial: str) -> None:
        if self._board.records[trial].status.is_over:
            kept = self._board.steps_to_keep(trial) | self._assessor.in_hand(trial)
            keep_only(RunFiles(self._directory).trial(trial), kept)

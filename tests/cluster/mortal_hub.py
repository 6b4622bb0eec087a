"""A whole search in one process: the real hub and ledger, workers that train nothing, an engine and a judge that count what they are asked.

The process may die at any write to the ledger, just before it or just after.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.generation import Decoding, Response
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt
from orchestrator.cluster.hub import held_out, hub
from orchestrator.errors import TrainingDivergedError
from orchestrator.search.board import Status
from orchestrator.search.goal import asked
from orchestrator.search.ledger import Events, LedgerWriter, read_ledger
from orchestrator.search.plan import make_plan
from orchestrator.search.trial import Trial
from orchestrator.search.verdict import finalists
from orchestrator.settings import Settings
from orchestrator.training.tidying import forget_engines, is_whole, list_files, step_directory

PROMPTS, PAIRS, STEPS = 24, 40, (2, 4)
TRIALS = tuple(Trial(name, "dpo", {"beta": 0.1}, {}) for name in ("best", "stopped", "diverges"))
SEED = Trial("best-seed1", "dpo", {"beta": 0.1}, {"seed": 1})


@dataclass
class Outside:
    """What outlives the process: what the engine and the judge were asked, and the judge's memory of what it was paid for."""

    directory: Path
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    paid: dict[tuple[str, str], float] = field(default_factory=dict)
    asked_for_known: list[str] = field(default_factory=list)

    def events(self, *kinds: str) -> Events:
        """What the ledger has."""
        return read_ledger(self.directory / "ledger.jsonl", *kinds)


def settings_of(directory: Path) -> Settings:
    """Two checkpoints a trial, each on two rungs; one final run. The prompts are written beside."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("search", "held-out"):
        rows = ({"id": f"{name}-{number}", "prompt": f"{name} {number}"} for number in range(PROMPTS))
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluation = {"prompts": f"{directory}/search.jsonl", "held_out": f"{directory}/held-out.jsonl", "veto": []}
    given = {
        "model": {"base": "base"},
        "data": {"train": "pairs"},
        "evaluation": evaluation,
        "judge": {"kind": "verifier"},
        "training": {"batch_size": 10, "steps": 4, "checkpoints": 2},
    }
    return Settings.model_validate(given)


class Method:
    """An actor's method, called in this process."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    async def remote(self, *arguments: Any) -> Any:
        """The answer."""
        await asyncio.sleep(0)
        answer = self._call(*arguments)
        return await answer if isinstance(answer, Awaitable) else answer


class Engine:
    """Answers with what training left in the checkpoint, which must be there."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.respond = Method(self._respond)

    async def _respond(self, model: str, prompts: Sequence[EvaluationPrompt], _: Decoding) -> tuple[list[Response], float]:
        weights = "base" if model == "base" else (Path(model) / "weights").read_text()
        await asyncio.sleep(0)
        for prompt in prompts:
            self._outside.answered[model, prompt.id] += 1
        return [Response(prompt.id, f"{weights} {prompt.id}", 1) for prompt in prompts], 0.1


class Judge:
    """Remembers what it was paid for, as judges do that cost something."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.judge, self.name = Method(self._judge), Method(lambda: "judge")

    def _judge(self, matches: Sequence[Match]) -> tuple[list[Verdict], float]:
        scores = {(event["trial"], str(event["step"]), prompt) for event in self._outside.events("score") for prompt in event["verdicts"]}
        found = []
        for match in matches:
            trial, _, step = match.candidate.split()[0].partition("/")
            if (trial, step, match.prompt.id) in scores:
                self._outside.asked_for_known.append(match.candidate)
            question = (match.candidate, match.baseline)
            self._outside.paid.setdefault(question, float(len(match.candidate) % 3) / 2)
            found.append(Verdict(match.prompt.id, self._outside.paid[question]))
        return found, 0.1


class MortalLedger:
    """Writes, until the write at which everything ends: that one is on the disk, or not."""

    def __init__(self, file: Path, last: int, is_written: bool, died: asyncio.Event) -> None:
        self._writer, self._left, self._is_written, self._died = LedgerWriter(file), last, is_written, died
        self.append = Method(self._append)

    async def _append(self, lines: Sequence[bytes], _: int | None) -> int:
        for line in lines:
            if self._left == 0 and not self._is_written:
                await self._die()
            self._writer.append_lines([line])
            if self._left == 0:
                await self._die()
            self._left -= 1
        return self._writer.append_lines([])

    async def _die(self) -> None:
        self._died.set()
        await asyncio.Event().wait()


class Session:
    """One life of the process."""

    def __init__(self, outside: Outside, last: int, is_written: bool, patch: Callable[[Any, str, Any], None], sessions: int = 0) -> None:
        self._outside, self._settings = outside, settings_of(outside.directory)
        self.died = asyncio.Event()
        actors = {
            "engine": Engine(outside),
            "judge": Judge(outside),
            "ledger": MortalLedger(outside.directory / "ledger.jsonl", last, is_written, self.died),
        }
        for module in (hub, held_out):
            patch(module, "find_actor", actors.__getitem__)
        patch(hub, "send_output_to", lambda _: None)
        plain: Any = hub.TrialHub
        self.hub = plain.__ray_metadata__.modified_class(str(outside.directory), ["engine"], "judge", "ledger", sessions)

    async def run(self) -> bool:
        """True when the search came to its end, False when the process died."""
        search, death = asyncio.create_task(self._search()), asyncio.create_task(self.died.wait())
        await asyncio.wait((search, death), return_when=asyncio.FIRST_COMPLETED)
        if search.done():
            search.result()
        return search.done()

    async def _search(self) -> None:
        await self.hub.begin(self._settings, make_plan(self._settings, PAIRS, 0.0, PROMPTS, PROMPTS))
        gangs = [asyncio.create_task(self._gang(f"gang-{number}")) for number in range(2)]
        await asyncio.gather(self.hub.baseline(), *(self._follow(trial) for trial in TRIALS))
        while not await self.hub.verdicts_are_in():
            pass
        await self.hub.begin_finals()
        best = finalists(self._outside.events(), 1)[0]
        await self.hub.score_held_out(best.trial, 0, best.trial, best.checkpoint)
        await self.hub.submit(SEED, best.step, best.trial)
        while not (await self.hub.wait_for(SEED.id)).is_over:
            pass
        await self.hub.score_held_out(best.trial, 1, SEED.id, str(best.checkpoint).replace(f"/{best.trial}/", f"/{SEED.id}/"))
        await self.hub.close()
        await asyncio.gather(*gangs)

    async def _follow(self, trial: Trial) -> None:
        """As Tune does: submit, hear every score, and stop one trial for its first."""
        await self.hub.submit(trial)
        step, prompts, heard = 0, 0, 0
        while not (news := await self.hub.next_score(trial.id, step, prompts)).over:
            if news.score is not None:
                step, prompts, heard = news.score["step"], asked(news.score), heard + 1
                if trial.id == "stopped":
                    await self.hub.stop(trial.id, Status.STOPPED, "worse than best")
                    return
        await self.hub.stop(trial.id, Status.COMPLETED)

    async def _gang(self, name: str) -> None:
        """As a worker group does: take up training at the newest checkpoint, tell each, and ask for more."""
        while (given := await self.hub.next_job(name)).wait or given.job is not None:
            if given.job is None:
                continue
            trial = given.job.trial.id
            if trial == "diverges":
                await self.hub.failed(name, trial, TrainingDivergedError("the loss is not finite", trial, "lower the learning rate"))
                continue
            run = self._outside.directory / "checkpoints" / trial
            resumed = max((int(each.parent.name[-6:]) for each in run.glob("step-*/engine") if is_whole(each.parent)), default=0)
            for step in STEPS:
                if step > resumed:
                    _save(step_directory(run, step))
                if step >= resumed and not await self.hub.checkpoint(name, given.job, step, str(step_directory(run, step))):
                    break
                forget_engines(run, step)
            await self.hub.trained(name, trial)


def _save(checkpoint: Path) -> None:
    """What training leaves."""
    for part in ("model", "engine"):
        (checkpoint / part).mkdir(parents=True, exist_ok=True)
    (checkpoint / "model" / "weights").write_text(f"{checkpoint.parent.name}/{int(checkpoint.name[-6:])}")
    list_files(checkpoint)

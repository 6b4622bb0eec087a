"""Prompts through an engine and a judge to a scorecard, beside the base model's own answers."""

import asyncio
import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from evals.answers import load_answers, save_answers
from evals.generation import Decoding, Response
from evals.guards import GROSS, Finding, inspect_responses
from evals.judging import Match, Verdict, lots
from evals.model_files import fingerprint
from evals.prompts import EvaluationPrompt, PromptSet
from evals.scorecard import Measurement, Scorecard, score
from evals.whole_files import save_json
from orchestrator.cluster.asking import DEADLINE_S, patiently
from orchestrator.cluster.hub.turns import Turns
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import in_common
from orchestrator.settings import EvaluationSettings

# How long an engine that is away is waited for, before another is asked.
_AWAY_S = 30.0
# With so many verdicts or more, the share of unreadable ones is no matter of chance.
_MANY = 100


@dataclass(frozen=True)
class Scored:
    """A scorecard with what it was computed from, prompt by prompt; `gross` findings are those that may end a trial."""

    card: Scorecard
    verdicts: Sequence[Verdict]
    responses: Sequence[Response]
    matches: Sequence[Match] = ()
    gross: Sequence[Finding] = ()

    def numbers(self) -> dict[str, Any]:
        """What the ledger keeps."""
        return {
            "scorecard": self.card.as_dict(),
            "verdicts": in_common({verdict.prompt_id: verdict.candidate_score for verdict in self.verdicts}),
        }

    def save(self, file: Path) -> None:
        """Write every response with its verdict as JSONL."""
        save_answers(file, self.responses, self.verdicts)


@dataclass(frozen=True)
class Answered:
    """A model's answers beside the base model's, which nobody has judged, and the seconds that they took."""

    prompts_sha256: str
    matches: Sequence[Match]
    responses: Sequence[Response]
    seconds: float


class Scorer:
    """Shares engines among the checkpoints that wait. The base model answers once, under another seed than candidates do."""

    def __init__(self, base: str, settings: EvaluationSettings, files: RunFiles, turns: Turns | None = None) -> None:
        self._base, self._settings, self._files = base, settings, files
        self._turns = turns or Turns()
        self._engines: asyncio.Queue[Any] = asyncio.Queue()
        self._judge: Any = None
        self._baselines: dict[str, asyncio.Task[dict[str, str]]] = {}

    def use(self, engines: Sequence[Any], judge: Any) -> None:
        """Answer with these engine actors, judge with this actor."""
        self._judge = judge
        for engine in engines:
            self._engines.put_nowait(engine)

    async def check_judge(self, prompts: PromptSet) -> None:
        """Ask the judge for one verdict, so that a judge that is out of reach is known before anything is trained."""
        await patiently(self._judge.judge, [Match(prompts.prompts[0], "one answer", "another answer")])

    async def score(self, model: str, prompts: PromptSet) -> Scored:
        """Answer and judge all prompts."""
        return await self.judge(await self.answer(model, prompts))

    async def answer(self, model: str, prompts: PromptSet, known: Scored | None = None, count: int | None = None) -> Answered:
        """Answer the first `count` prompts, all by default, beyond those that are `known`."""
        asked = prompts.prompts[len(known.verdicts) if known else 0 : count]
        baseline, draws = await self._baseline(prompts), lots(prompt.id for prompt in prompts.prompts)
        responses, seconds = await self._respond(model, asked, self._decoding(seed=self._settings.seed + 1))
        matches = [Match(p, r.text, baseline[p.id], draws[p.id]) for p, r in zip(asked, responses, strict=True)]
        return Answered(prompts.sha256, matches, responses, seconds)

    async def judge(self, answered: Answered, known: Scored | None = None, judge: Any = None) -> Scored:
        """Have the answers compared with the base model's; summarise them together with what is `known`.

        A `judge` actor stands in for the usual one.
        """
        judge = judge or self._judge
        verdicts, judging = await patiently(judge.judge, answered.matches)
        name = await patiently(judge.name)
        responses, seconds = list(answered.responses), answered.seconds + judging
        matches = answered.matches
        if known is not None:
            responses, verdicts = [*known.responses, *responses], [*known.verdicts, *verdicts]
            matches, seconds = [*known.matches, *matches], seconds + known.card.seconds
        baseline = {match.prompt.id: match.baseline for match in matches}
        texts = {match.prompt.id: match.prompt.text for match in matches}
        own = {response.prompt_id: response.text for response in responses}
        cut = {response.prompt_id for response in responses if not response.finished}
        findings = tuple(inspect_responses(own, baseline, texts, unfinished=cut))
        gross = inspect_responses(own, baseline, texts, GROSS, cut) if findings else ()
        decoding = self._decoding(seed=self._settings.seed + 1)
        how = Measurement(name, decoding, answered.prompts_sha256, round(seconds, 3), self._allowed(len(verdicts)), findings)
        return Scored(score(verdicts, responses, how), verdicts, responses, matches, gross)

    async def recall(self, file: Path, card: Scorecard, prompts: PromptSet) -> Scored:
        """What was found out about a model before, on as many prompts as its scorecard stands on."""
        count = card.judged + card.unreadable
        responses, verdicts = load_answers(file)
        baseline = await self._baseline(prompts)
        by_id = {prompt.id: prompt for prompt in prompts.prompts}
        matches = [Match(by_id[r.prompt_id], r.text, baseline[r.prompt_id]) for r in responses[:count]]
        return Scored(card, verdicts[:count], responses[:count], matches)

    def _allowed(self, verdicts: int) -> float:
        """The share of verdicts that may be unreadable: of few, as many more as chance brings in three standard errors."""
        share = self._settings.max_unreadable
        return min(1.0, share + 3 * math.sqrt(share * (1 - share) / verdicts)) if verdicts < _MANY else share

    async def _baseline(self, prompts: PromptSet) -> dict[str, str]:
        """The base model's answers by prompt, made once for a prompt set; who asks meanwhile waits for the same ones."""
        if prompts.sha256 not in self._baselines:
            self._baselines[prompts.sha256] = asyncio.ensure_future(self._make_baseline(prompts))
        return await asyncio.shield(self._baselines[prompts.sha256])

    async def _make_baseline(self, prompts: PromptSet) -> dict[str, str]:
        file = self._files.base_answers(prompts.sha256, self._how())
        # What cannot be read, a disk that failed has left: the base model answers as it did, under the same seed.
        with suppress(FileNotFoundError, ValueError):
            return json.loads(file.read_text(encoding="utf-8"))
        responses, _ = await self._respond(self._base, prompts.prompts, self._decoding(self._settings.seed))
        answers = {response.prompt_id: response.text for response in responses}
        save_json(file, answers, indent=None)
        return answers

    async def _respond(self, model: str, prompts: Sequence[EvaluationPrompt], decoding: Decoding) -> tuple[list[Response], float]:
        """By the engine that is free first; one that is away is passed over after a while. Raises RayActorError when none answers."""
        lost = 0.0
        while True:
            engine = await self._engines.get()
            try:
                async with self._turns.answering():
                    try:
                        return await patiently(engine.respond, model, prompts, decoding, deadline_s=_AWAY_S)
                    except RayActorError:
                        lost += _AWAY_S
                        if lost > DEADLINE_S:
                            raise
            finally:
                self._engines.put_nowait(engine)

    def _how(self) -> str:
        """Another one for another base model, and for answers that are made otherwise."""
        base = fingerprint(Path(self._base)) if Path(self._base).is_dir() else self._base
        made = (base, asdict(self._decoding(self._settings.seed)), self._settings.max_model_len)
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:8]

    def _decoding(self, seed: int) -> Decoding:
        return Decoding(self._settings.temperature, self._settings.top_p, self._settings.max_tokens, seed)

"""Prompts through an engine and a judge to a scorecard, beside the base model's own answers."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.generation import Decoding, Response
from evals.guards import inspect_responses
from evals.judging import Match, Verdict
from evals.prompts import PromptSet
from evals.scorecard import Measurement, Scorecard, score
from orchestrator.cluster.asking import patiently
from orchestrator.settings import EvaluationSettings


@dataclass(frozen=True)
class Scored:
    """A scorecard with what it was computed from, prompt by prompt."""

    card: Scorecard
    verdicts: Sequence[Verdict]
    responses: Sequence[Response]

    def numbers(self) -> dict[str, Any]:
        """What the ledger keeps."""
        return {
            "scorecard": self.card.as_dict(),
            "verdicts": {verdict.prompt_id: verdict.candidate_score for verdict in self.verdicts},
        }

    def save(self, file: Path) -> None:
        """Write every response with its verdict as JSONL."""
        rows = (
            {"prompt": r.prompt_id, "response": r.text, "tokens": r.tokens, "score": v.candidate_score, "reason": v.reason}
            for r, v in zip(self.responses, self.verdicts, strict=True)
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


class Scorer:
    """Shares engines among the checkpoints that wait. The base model answers once, under another seed than candidates do."""

    def __init__(self, base: str, settings: EvaluationSettings, responses: Path) -> None:
        self._base, self._settings, self._kept = base, settings, responses
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
        """Answer, compare, summarise."""
        decoding = self._decoding(seed=self._settings.seed + 1)
        baseline = await self._baseline(prompts)
        responses, answering = await self._respond(model, prompts, decoding)
        matches = [Match(p, r.text, baseline[p.id]) for p, r in zip(prompts.prompts, responses, strict=True)]
        verdicts, judging = await patiently(self._judge.judge, matches)
        name = await patiently(self._judge.name)
        findings = tuple(inspect_responses({r.prompt_id: r.text for r in responses}, baseline, {p.id: p.text for p in prompts.prompts}))
        seconds = round(answering + judging, 3)
        how = Measurement(name, decoding, prompts.sha256, seconds, self._settings.max_unreadable, findings)
        return Scored(score(verdicts, responses, how), verdicts, responses)

    async def _baseline(self, prompts: PromptSet) -> dict[str, str]:
        """The base model's answers by prompt, made once for a prompt set; who asks meanwhile waits for the same ones."""
        if prompts.sha256 not in self._baselines:
            self._baselines[prompts.sha256] = asyncio.ensure_future(self._make_baseline(prompts))
        return await self._baselines[prompts.sha256]

    async def _make_baseline(self, prompts: PromptSet) -> dict[str, str]:
        file = self._kept / "base" / f"{prompts.sha256[:12]}.json"
        if not file.is_file():
            responses, _ = await self._respond(self._base, prompts, self._decoding(self._settings.seed))
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps({response.prompt_id: response.text for response in responses}), encoding="utf-8")
            partial.replace(file)
        return json.loads(file.read_text(encoding="utf-8"))

    async def _respond(self, model: str, prompts: PromptSet, decoding: Decoding) -> tuple[list[Response], float]:
        engine = await self._engines.get()
        try:
            return await patiently(engine.respond, model, prompts.prompts, decoding)
        finally:
            self._engines.put_nowait(engine)

    def _decoding(self, seed: int) -> Decoding:
        return Decoding(self._settings.temperature, self._settings.top_p, self._settings.max_tokens, seed)

"""Answers and verdicts become a scorecard, with what the guards found."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evals.generation import Response
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt, Message
from orchestrator.cluster.scoring import Answered, Scorer
from orchestrator.settings import EvaluationSettings


def judge() -> Any:
    """A judge's actor to whom all answers are alike."""

    async def verdicts(matches: Sequence[Match]) -> tuple[list[Verdict], float]:
        return [Verdict(match.prompt.id, 0.5) for match in matches], 0.1

    async def name() -> str:
        return "nobody"

    return SimpleNamespace(judge=SimpleNamespace(remote=verdicts), name=SimpleNamespace(remote=name))


@pytest.mark.parametrize(("empty", "flagged", "gross"), [(1, [], []), (4, ["empty"], []), (20, ["empty"], ["empty"])])
def test_few_broken_answers_flag_a_score_and_many_are_gross(tmp_path: Path, empty: int, flagged: list[str], gross: list[str]) -> None:
    texts = ["" if number < empty else f"an answer of its own, number {number}" for number in range(100)]
    matches = [Match(EvaluationPrompt(str(n), (Message("user", "?"),)), text, f"the base's {n}") for n, text in enumerate(texts)]
    scorer = Scorer("base", EvaluationSettings(), tmp_path)
    answered = Answered("sha", matches, [Response(match.prompt.id, match.candidate, 3) for match in matches], 1.0)
    scored = asyncio.run(scorer.judge(answered, judge=judge()))
    assert [finding.guard for finding in scored.card.findings] == flagged
    assert [finding.guard for finding in scored.gross] == gross
    assert set(gross) <= set(EvaluationSettings().veto)

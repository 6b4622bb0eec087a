"""Answers and verdicts become a scorecard, with what the guards found."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from evals.asking import Keep, Question, Reply, forget
from evals.generation import Response
from evals.judges.pairwise import PairwiseJudge
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt, Message, PromptSet
from orchestrator.cluster.hub import scoring
from orchestrator.cluster.hub.scoring import Answered, Scorer
from orchestrator.run_files import RunFiles
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
    scorer = Scorer("base", EvaluationSettings(), RunFiles(tmp_path))
    answered = Answered("sha", matches, [Response(match.prompt.id, match.candidate, 3) for match in matches], 1.0)
    scored = asyncio.run(scorer.judge(answered, judge=judge()))
    assert [finding.guard for finding in scored.card.findings] == flagged
    assert [finding.guard for finding in scored.gross] == gross
    assert set(gross) <= set(EvaluationSettings().veto)


def test_answers_that_were_cut_off_flag_a_score_and_end_no_trial_unless_named(tmp_path: Path) -> None:
    prompts = [EvaluationPrompt(str(n), (Message("user", "?"),)) for n in range(20)]
    matches = [Match(prompt, f"an answer of its own, number {prompt.id}", f"the base's {prompt.id}") for prompt in prompts]
    responses = [Response(match.prompt.id, match.candidate, 3, finished=False) for match in matches]
    scorer = Scorer("base", EvaluationSettings(), RunFiles(tmp_path))
    scored = asyncio.run(scorer.judge(Answered("sha", matches, responses, 1.0), judge=judge()))
    assert [finding.guard for finding in (*scored.card.findings, *scored.gross)] == ["unfinished", "unfinished"]
    assert scored.card.unfinished == 1.0
    assert "unfinished" not in EvaluationSettings().veto and EvaluationSettings(veto=("unfinished",))


def engine(is_away: bool, asked: list[bool], text: str = "an answer") -> Any:
    """An engine's actor that answers with a text, `{}` in it for the model's name, or is gone."""

    async def respond(model: str, prompts: Sequence[EvaluationPrompt], decoding: Any) -> tuple[list[Response], float]:
        asked.append(is_away)
        if is_away:
            raise RayActorError
        return [Response(prompt.id, text.format(model), 2) for prompt in prompts], 0.1

    return SimpleNamespace(respond=SimpleNamespace(remote=respond))


@dataclass
class Favours:
    """A model that always names the first answer, and remembers whom it was asked about."""

    asked: list[str]
    identity = name = "first"
    repeats_itself = True

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        self.asked += [question.id for question in questions]
        return [Reply(logprobs={"m": -0.1, "M": -3.0}) for _ in questions]


def test_the_same_prompts_are_asked_about_in_both_orders_however_a_checkpoint_climbs(tmp_path: Path) -> None:
    def twice(*rungs: int) -> set[str]:
        model = Favours([])
        pairwise = PairwiseJudge(model, swap_sample=8)

        async def verdicts(matches: Sequence[Match]) -> tuple[list[Verdict], float]:
            return pairwise.judge(matches), 0.1

        actor = SimpleNamespace(judge=SimpleNamespace(remote=verdicts), name=judge().name)
        prompts = PromptSet(tuple(EvaluationPrompt(f"p{n}", (Message("user", f"{n}?"),)) for n in range(60)), "sha")

        async def climb() -> None:
            scorer = Scorer("base", EvaluationSettings(), RunFiles(tmp_path / str(rungs)))
            scorer.use([engine(False, [], "an answer of {}")], actor)
            known = None
            for rung in rungs:
                known = await scorer.judge(await scorer.answer("model", prompts, known, rung), known)

        asyncio.run(climb())
        assert len(model.asked) == 60 + 8
        return {name for name, count in Counter(model.asked).items() if count == 2}

    assert twice(10, 20, 60) == twice(60) == twice(30, 60)


PROMPT = PromptSet((EvaluationPrompt("0", (Message("user", "?"),)),), "sha")


@pytest.mark.parametrize("first_is_away", [True, False])
def test_another_engine_answers_for_one_that_is_away_and_all_stay_in_use(
    first_is_away: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_AWAY_S", 1e-12)
    asked: list[bool] = []
    scorer = Scorer("base", EvaluationSettings(), RunFiles(tmp_path))
    scorer.use([engine(first_is_away, asked), engine(not first_is_away, asked)], judge())
    assert asyncio.run(scorer.score("model", PROMPT)).card.judged == 1
    assert set(asked) == {True, False}
    assert scorer._engines.qsize() == 2


def test_when_no_engine_answers_for_long_the_search_hears_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_AWAY_S", 1e-12)
    monkeypatch.setattr(scoring, "DEADLINE_S", 0.0)
    scorer = Scorer("base", EvaluationSettings(), RunFiles(tmp_path))
    scorer.use([engine(True, []), engine(True, [])], judge())
    with pytest.raises(RayActorError):
        asyncio.run(scorer.score("model", PROMPT))


@pytest.mark.parametrize("left", [b"", b'{"0": "an ans', b"\xff\xfe"])
def test_base_answers_that_a_disk_left_cut_are_made_again(left: bytes, tmp_path: Path) -> None:
    def score() -> int:
        asked: list[bool] = []
        scorer = Scorer("base", EvaluationSettings(), RunFiles(tmp_path))
        scorer.use([engine(False, asked)], judge())
        asyncio.run(scorer.score("model", PROMPT))
        return len(asked)

    assert [score(), score()] == [2, 1]
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(left)
    assert [score(), score()] == [2, 1]


def test_another_base_model_and_other_answering_do_not_take_the_answers_that_are_there(tiny_model: Path, tmp_path: Path) -> None:
    bases = [tmp_path / "here", tmp_path / "copy", tmp_path / "other"]
    for base in bases:
        shutil.copytree(tiny_model, base)
    (bases[2] / "generation_config.json").write_text('{"eos_token_id": 7}')
    usual, longer = EvaluationSettings(), EvaluationSettings(max_tokens=99)
    asked: list[bool] = []

    def score_against(base: str, settings: EvaluationSettings) -> int:
        asked.clear()
        scorer = Scorer(base, settings, RunFiles(tmp_path / "kept"))
        scorer.use([engine(False, asked)], judge())
        asyncio.run(scorer.score("model", PROMPT))
        return len(asked)

    assert [score_against(str(bases[0]), usual) for _ in range(2)] == [2, 1]
    assert [score_against(str(base), usual) for base in bases[1:]] == [1, 2]
    assert [score_against(str(bases[0]), longer), score_against("hub/base", usual), score_against("hub/base", usual)] == [2, 2, 1]

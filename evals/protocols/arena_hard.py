"""Arena-Hard as it is run: two games a question with swapped seats, against the baseline of the question's category."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from evals.asking import Question, Reply
from evals.benchmarks import arena_hard as scoring
from evals.benchmarks.files import benchmark_file, read_rows
from evals.benchmarks.formats import Outputs, arena_game, arena_judgment, read_outputs
from evals.benchmarks.pins import check_prompts
from evals.benchmarks.score import BenchmarkScore
from evals.benchmarks.style_control import Style, answer_style
from evals.errors import SettingsError
from evals.generation import Decoding
from evals.judges.pairwise import sampled
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt, Message
from evals.protocols.contract import BenchmarkPrompt, Judged, Row, aligned
from evals.protocols.official_files import save_arena_hard
from evals.protocols.running import Evaluation

VERSIONS = ("v0.1", "v2.0")
_GAMES = ("game 1", "game 2")
# A judge without labels: how sure it must be of the better answer to call it significantly better.
_STRONG = 0.9


@dataclass(frozen=True)
class ArenaHard:
    """500 questions (v0.1), or 500 hard prompts and 250 of creative writing (v2.0)."""

    version: str = "v2.0"
    limit: int | None = None
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise SettingsError(f"there is no Arena-Hard {self.version!r}", "arena_hard", f"choose {' or '.join(VERSIONS)}")

    @property
    def name(self) -> str:
        return f"arena_hard_{self.version}"

    @cached_property
    def _questions(self) -> Sequence[Mapping[str, str]]:
        rows = read_rows(benchmark_file(f"arena_hard/question_{self.version}.jsonl"))
        check_prompts(self.name, [(row["uid"], (row["prompt"],)) for row in rows])
        kept = sampled([row["uid"] for row in rows], self.limit)
        return [row for row in rows if row["uid"] in kept]

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        return yaml.safe_load(benchmark_file(f"arena_hard/arena-hard-{self.version}.yaml").read_text(encoding="utf-8"))

    @cached_property
    def _baselines(self) -> Mapping[str, str]:
        """The baseline's answer by question."""
        answers: dict[str, str] = {}
        for baseline in sorted({scoring.BASELINES[row["category"]] for row in self._questions}):
            outputs = read_outputs(benchmark_file(f"arena_hard/model_answer_{self.version}_{baseline}.jsonl"))
            theirs = [prompt for prompt in self.prompts() if scoring.BASELINES[prompt.category] == baseline]
            answers |= {name: turns[0] for name, turns in aligned(theirs, outputs, f"the answers of {baseline}").answers.items()}
        return answers

    def prompts(self) -> Sequence[BenchmarkPrompt]:
        return [BenchmarkPrompt(row["uid"], (row["prompt"],), row["category"]) for row in self._questions]

    def baseline(self) -> Mapping[str, tuple[str, ...]]:
        return {name: (text,) for name, text in self._baselines.items()}

    def questions(self, outputs: Outputs) -> list[Question]:
        asked = []
        decoding = Decoding(temperature=float(self._settings["temperature"]), max_tokens=int(self._settings["max_tokens"]))
        for prompt in self.prompts():
            theirs, ours = self._baselines[prompt.id], outputs.answers[prompt.id][0]
            seats = ((theirs, ours), (ours, theirs))
            asked += [
                Question(f"{prompt.id} {game}", self._messages(prompt, *seat), decoding) for game, seat in zip(_GAMES, seats, strict=True)
            ]
        return asked

    def readable(self, question: Question, reply: Reply) -> bool:
        return scoring.parse_verdict(reply.text) is not None

    def judged(self, outputs: Outputs, questions: Sequence[Question], replies: Sequence[Reply], judge: str) -> Judged:
        told = {question.id: (question, reply) for question, reply in zip(questions, replies, strict=True)}
        rows = []
        for prompt in self.prompts():
            games = [_game(*told[f"{prompt.id} {game}"]) for game in _GAMES]
            rows.append(arena_judgment(self._row(prompt, outputs.model, judge), games))
        return Judged(rows, texts={name: turns[0] for name, turns in outputs.answers.items()})

    def matches(self, outputs: Outputs) -> list[Match]:
        return [
            Match(EvaluationPrompt(p.id, (Message("user", p.turns[0]),)), outputs.answers[p.id][0], self._baselines[p.id])
            for p in self.prompts()
        ]

    def ruled(self, outputs: Outputs, verdicts: Sequence[Verdict], judge: str) -> Judged:
        rows = []
        for prompt, verdict in zip(self.prompts(), verdicts, strict=True):
            label = _label(verdict.candidate_score)
            games = [arena_game(_swapped(label) if label else None, verdict.reason, ()), arena_game(label, verdict.reason, ())]
            rows.append(arena_judgment(self._row(prompt, outputs.model, judge), games))
        return Judged(rows, texts={name: turns[0] for name, turns in outputs.answers.items()})

    def scores(self, judged: Judged) -> list[BenchmarkScore]:
        return scoring.score_judgments(judged.rows, self._styles(judged))

    def save(self, evaluation: Evaluation, folder: Path) -> list[Path]:
        return save_arena_hard(evaluation, folder, self.prompts())

    def _styles(self, judged: Judged) -> dict[str, dict[str, Style]]:
        """The style of the answers that the rows compare, which controls the score for it."""
        styles: dict[str, dict[str, Style]] = {}
        for row in judged.rows:
            styles.setdefault(row["baseline"], {})[row["uid"]] = answer_style(self._baselines[row["uid"]])
            styles.setdefault(row["model"], {})[row["uid"]] = answer_style(judged.texts[row["uid"]])
        return styles

    def _messages(self, prompt: BenchmarkPrompt, answer_a: str, answer_b: str) -> tuple[Message, ...]:
        system = self._system_prompts[prompt.category]
        text = self._settings["prompt_template"].format(QUESTION=prompt.turns[0], ANSWER_A=answer_a, ANSWER_B=answer_b)
        return (Message("system", system), Message("user", text))

    @cached_property
    def _system_prompts(self) -> Mapping[str, str]:
        (settings,) = read_rows(benchmark_file("arena_hard/judge_settings.json"))
        return {category: of_category["system_prompt"] for category, of_category in settings.items()}

    def _row(self, prompt: BenchmarkPrompt, model: str, judge: str) -> dict[str, str]:
        baseline = scoring.BASELINES[prompt.category]
        return {"uid": prompt.id, "category": prompt.category, "judge": judge, "model": model, "baseline": baseline}


def _game(question: Question, reply: Reply) -> Row:
    return arena_game(scoring.parse_verdict(reply.text), reply.text, question.messages)


def _label(score: float | None) -> str | None:
    """The verdict with the candidate as A: what a judge without labels would have said."""
    if score is None:
        return None
    if score == 0.5:
        return "A=B"
    sure = ">>" if max(score, 1 - score) >= _STRONG else ">"
    return f"A{sure}B" if score > 0.5 else f"B{sure}A"


def _swapped(label: str) -> str:
    """The same verdict with the seats exchanged."""
    return label.translate(str.maketrans("AB", "BA"))

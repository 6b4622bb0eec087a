"""MT-Bench as it is run: 80 questions of two turns, each turn rated from 1 to 10, or compared with a baseline's in both orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evals.asking import Question, Reply
from evals.benchmarks import mt_bench as scoring
from evals.benchmarks.files import benchmark_file, read_rows
from evals.benchmarks.formats import Outputs, PairGame, mt_pair, mt_single, read_outputs
from evals.benchmarks.pins import check_prompts
from evals.benchmarks.score import BenchmarkScore
from evals.errors import SettingsError, UserError
from evals.generation import Decoding
from evals.judges.pairwise import sampled
from evals.judging import Match, Verdict
from evals.prompts import Message
from evals.protocols.contract import BenchmarkPrompt, Judged, aligned
from evals.protocols.official_files import save_mt_bench
from evals.protocols.running import Evaluation

TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
WITH_REFERENCE = ("math", "reasoning", "coding")
REFERENCES = {
    "gpt-4": "mt_bench/reference_answer_gpt-4.jsonl",
    "gpt-4-1106-preview": "mt_bench/reference_answer_gpt-4-1106-preview_SimPO.jsonl",
}
_GAMES = ("game 1", "game 2")


@dataclass(frozen=True)
class MTBench:
    """Single grading, or with `baseline_outputs` pairwise comparison. `references` names who answered for the judge.

    "gpt-4" is the original set, of whose 30 answers 13 are wrong; "gpt-4-1106-preview" the corrected one that DPO papers use.
    """

    references: str = "gpt-4"
    baseline_outputs: Path | None = None
    limit: int | None = None
    name: str = "mt_bench"
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.references not in REFERENCES:
            raise SettingsError(f"there are no references by {self.references!r}", "mt_bench", f"choose {' or '.join(REFERENCES)}")

    @cached_property
    def _questions(self) -> Sequence[Mapping[str, Any]]:
        rows = read_rows(benchmark_file("mt_bench/question.jsonl"))
        check_prompts(self.name, [(str(row["question_id"]), tuple(row["turns"])) for row in rows])
        kept = sampled([str(row["question_id"]) for row in rows], self.limit)
        return [row for row in rows if str(row["question_id"]) in kept]

    @cached_property
    def _references(self) -> Mapping[str, Sequence[str]]:
        rows = read_rows(benchmark_file(REFERENCES[self.references]))
        return {str(row["question_id"]): row["choices"][0]["turns"] for row in rows}

    @cached_property
    def _templates(self) -> Mapping[str, Mapping[str, str]]:
        return {row["name"]: row for row in read_rows(benchmark_file("mt_bench/judge_prompts.jsonl"))}

    @cached_property
    def _baseline(self) -> Outputs | None:
        return None if self.baseline_outputs is None else aligned(self.prompts(), read_outputs(self.baseline_outputs), "the baseline")

    def prompts(self) -> Sequence[BenchmarkPrompt]:
        return [
            BenchmarkPrompt(str(row["question_id"]), tuple(row["turns"]), row["category"], TEMPERATURES[row["category"]])
            for row in self._questions
        ]

    def baseline(self) -> Mapping[str, tuple[str, ...]] | None:
        return None if self._baseline is None else self._baseline.answers

    def questions(self, outputs: Outputs) -> list[Question]:
        decoding = Decoding(max_tokens=2048)
        if self._baseline is None:
            rated = [(prompt, turn) for turn in (1, 2) for prompt in self.prompts()]
            return [Question(f"{p.id} turn {turn}", self._single(p, turn, outputs.answers[p.id]), decoding) for p, turn in rated]
        questions = []
        for turn in (1, 2):
            for prompt in self.prompts():
                ours, theirs = outputs.answers[prompt.id], self._baseline.answers[prompt.id]
                for game, seats in zip(_GAMES, ((ours, theirs), (theirs, ours)), strict=True):
                    questions.append(Question(f"{prompt.id} turn {turn} {game}", self._pair(prompt, turn, *seats), decoding))
        return questions

    def readable(self, question: Question, reply: Reply) -> bool:
        if self._baseline is None:
            return scoring.parse_rating(reply.text) is not None
        return scoring.parse_winner(reply.text) is not None

    def judged(self, outputs: Outputs, questions: Sequence[Question], replies: Sequence[Reply], judge: str) -> Judged:
        told = {question.id: (question, reply) for question, reply in zip(questions, replies, strict=True)}
        rows = []
        for turn in (1, 2):
            for prompt in self.prompts():
                template = self._template_name(prompt, turn)
                name = f"{prompt.id} turn {turn}"
                if self._baseline is None:
                    question, reply = told[name]
                    text = question.messages[-1].content
                    rating = scoring.parse_rating(reply.text)
                    rows.append(mt_single((prompt.id, turn), outputs.model, (judge, template), (text, reply.text), rating))
                    continue
                games = [_game(*told[f"{name} {game}"]) for game in _GAMES]
                rows.append(mt_pair((prompt.id, turn), (outputs.model, self._baseline.model), (judge, template), games))
        return Judged(rows)

    def matches(self, outputs: Outputs) -> list[Match]:
        raise UserError(
            "this judge compares two answers and MT-Bench asks for ratings of conversations",
            "mt_bench",
            "judge MT-Bench with a language model (kind openai or vllm)",
        )

    def ruled(self, outputs: Outputs, verdicts: Sequence[Verdict], judge: str) -> Judged:
        raise NotImplementedError("matches() refuses first")

    def scores(self, judged: Judged) -> list[BenchmarkScore]:
        return scoring.score_judgments(judged.rows) if self._baseline is None else scoring.score_pairs(judged.rows)

    def save(self, evaluation: Evaluation, folder: Path) -> list[Path]:
        return save_mt_bench(evaluation, folder)

    def _template_name(self, prompt: BenchmarkPrompt, turn: int) -> str:
        with_reference = prompt.category in WITH_REFERENCE
        if self._baseline is None:
            kind = "single-math-v1" if with_reference else "single-v1"
        else:
            kind = "pair-math-v1" if with_reference else "pair-v2"
        return f"{kind}-multi-turn" if turn == 2 else kind

    def _single(self, prompt: BenchmarkPrompt, turn: int, answer: Sequence[str]) -> tuple[Message, ...]:
        if turn == 1:
            return self._filled(prompt, turn, {"question": prompt.turns[0], "answer": answer[0]})
        return self._filled(prompt, turn, {"answer_1": answer[0], "answer_2": answer[1]})

    def _pair(self, prompt: BenchmarkPrompt, turn: int, a: Sequence[str], b: Sequence[str]) -> tuple[Message, ...]:
        if turn == 1:
            return self._filled(prompt, turn, {"question": prompt.turns[0], "answer_a": a[0], "answer_b": b[0]})
        return self._filled(prompt, turn, {"answer_a_1": a[0], "answer_b_1": b[0], "answer_a_2": a[1], "answer_b_2": b[1]})

    def _filled(self, prompt: BenchmarkPrompt, turn: int, values: dict[str, str]) -> tuple[Message, ...]:
        template = self._templates[self._template_name(prompt, turn)]
        if turn == 2:
            values |= {"question_1": prompt.turns[0], "question_2": prompt.turns[1]}
        if prompt.category in WITH_REFERENCE:
            reference = self._references[prompt.id]
            values |= {"ref_answer_1": reference[0], "ref_answer_2": reference[1]}
        return (Message("system", template["system_prompt"]), Message("user", template["prompt_template"].format(**values)))


def _game(question: Question, reply: Reply) -> PairGame:
    return PairGame(scoring.parse_winner(reply.text), question.messages[-1].content, reply.text)

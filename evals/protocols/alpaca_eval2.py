"""AlpacaEval 2 as it is run: GPT-4 Turbo's answers as the baseline, and a judge that answers with one letter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from evals.asking import Question, Reply
from evals.benchmarks import alpaca_eval2 as scoring
from evals.benchmarks.alpaca_eval2 import BASELINE
from evals.benchmarks.files import benchmark_file, read_rows
from evals.benchmarks.formats import Completion, Outputs, annotation
from evals.benchmarks.pins import check_prompts
from evals.benchmarks.score import BenchmarkScore
from evals.errors import DataFormatError
from evals.generation import Decoding
from evals.judges.pairwise import sampled
from evals.judges.pairwise_prompt import FIRST, SECOND, label_logprobs
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt, Message
from evals.protocols.contract import BenchmarkPrompt, Judged, PositionBias, Row, position_bias
from evals.protocols.official_files import save_alpaca_eval
from evals.protocols.running import Evaluation

TEMPLATE = "alpaca_eval2/judge/alpaca_eval_clf.txt"
_SWAPPED = " swapped"
_ROLES = ("system", "user", "assistant")


def question_messages(instruction: str, output_1: str, output_2: str, switched: bool) -> tuple[Message, ...]:
    """What the judge is sent, byte for byte what the official annotator sends; `output_1` is the baseline's.

    The template is read from the benchmark data. Raises DataFormatError that says what to place where.
    """
    first, second = (output_2, output_1) if switched else (output_1, output_2)
    text = _template()
    # One after the other and the first place only, as the official annotator fills them in.
    for name, value in (("instruction", instruction), ("output_1", first), ("output_2", second)):
        text = text.replace("{" + name + "}", value, 1)
    turns: list[tuple[str, str]] = []
    for part in text.strip().split("<|im_start|>")[1:]:
        role, _, content = part.partition("\n")
        if role.strip() in _ROLES:
            turns.append((role.strip(), content.split("<|im_end|>", 1)[0]))
        else:
            # A response that spells the mark: no judge takes such a role, and the words stay the response's.
            before, said = turns.pop()
            turns.append((before, f"{said}<|im_start|>{part.split('<|im_end|>', 1)[0]}"))
    return tuple(Message(role, content.strip()) for role, content in turns)


def _template() -> str:
    file = benchmark_file(TEMPLATE)
    text = file.read_text(encoding="utf-8")
    if "<|im_start|>" not in text or any("{" + name + "}" not in text for name in ("instruction", "output_1", "output_2")):
        raise DataFormatError("this is not AlpacaEval's judge template", str(file), "fetch it again with `daa eval fetch`")
    return text


@dataclass(frozen=True)
class AlpacaEval2:
    """805 instructions. The order of each pair is drawn from its instruction; `swap_sample` pairs are asked in the other order too."""

    swap_sample: int | None = 50
    limit: int | None = None
    name: str = "alpaca_eval2"
    max_tokens: int = 2048

    @cached_property
    def _rows(self) -> Sequence[Mapping[str, str]]:
        rows = read_rows(benchmark_file("preference_text/baseline_outputs.jsonl"))
        check_prompts(self.name, [(str(number), (row["instruction"],)) for number, row in enumerate(rows)])
        kept = sampled([str(number) for number in range(len(rows))], self.limit)
        return [{**row, "id": str(number)} for number, row in enumerate(rows) if str(number) in kept]

    def prompts(self) -> Sequence[BenchmarkPrompt]:
        return [BenchmarkPrompt(row["id"], (row["instruction"],), row.get("dataset", "")) for row in self._rows]

    def baseline(self) -> Mapping[str, tuple[str, ...]]:
        return {row["id"]: (row["output"],) for row in self._rows}

    def questions(self, outputs: Outputs) -> list[Question]:
        asked = [row for row in self._rows if row["output"] != outputs.answers[row["id"]][0]]
        swapped = sampled([row["id"] for row in asked], self.swap_sample)
        questions = [self._question(row, outputs, scoring.is_switched(row["instruction"])) for row in asked]
        again = [
            self._question(row, outputs, not scoring.is_switched(row["instruction"]), _SWAPPED) for row in asked if row["id"] in swapped
        ]
        return questions + again

    def readable(self, question: Question, reply: Reply) -> bool:
        return any(value is not None for value in _letters(reply))

    def judged(self, outputs: Outputs, questions: Sequence[Question], replies: Sequence[Reply], judge: str) -> Judged:
        told = {question.id: reply for question, reply in zip(questions, replies, strict=True)}
        rows = [self._row(row, outputs, told.get(row["id"]), judge) for row in self._rows]
        return Judged(rows, self._bias(told))

    def matches(self, outputs: Outputs) -> list[Match]:
        prompts = [EvaluationPrompt(row["id"], (Message("user", row["instruction"]),)) for row in self._rows]
        return [Match(prompt, outputs.answers[prompt.id][0], row["output"]) for prompt, row in zip(prompts, self._rows, strict=True)]

    def ruled(self, outputs: Outputs, verdicts: Sequence[Verdict], judge: str) -> Judged:
        ruled = [(row, verdict.candidate_score) for row, verdict in zip(self._rows, verdicts, strict=True)]
        preferences = [(row, None if score is None else 1 + score) for row, score in ruled]
        names = (BASELINE, outputs.model)
        return Judged([annotation(row, names, outputs.answers[row["id"]][0], value, judge) for row, value in preferences])

    def scores(self, judged: Judged) -> list[BenchmarkScore]:
        bias = {} if judged.bias is None else {"swap_consistency": judged.bias.swap_consistency, "first_seat": judged.bias.first_seat}
        return [replace(score, details={**score.details, **bias}) for score in scoring.score_annotations(judged.rows)]

    def save(self, evaluation: Evaluation, folder: Path) -> list[Path]:
        return save_alpaca_eval(evaluation, folder, is_whole=self.limit is None)

    def _question(self, row: Mapping[str, str], outputs: Outputs, switched: bool, suffix: str = "") -> Question:
        messages = question_messages(row["instruction"], row["output"], outputs.answers[row["id"]][0], switched)
        return Question(row["id"] + suffix, messages, Decoding(temperature=1.0, max_tokens=1), (FIRST, SECOND))

    def _row(self, row: Mapping[str, str], outputs: Outputs, reply: Reply | None, judge: str) -> Row:
        """The annotation of one instruction; outputs equal to the baseline's were not asked about, and tie."""
        output, told, preference = outputs.answers[row["id"]][0], None, 1.5
        if reply is not None:
            letters = _letters(reply)
            preference = scoring.preference(*letters, scoring.is_switched(row["instruction"]))
            logprobs = {letter: value for letter, value in zip((FIRST, SECOND), letters, strict=True) if value is not None}
            told = Completion(logprobs, price=reply.cost, tokens=reply.prompt_tokens + reply.tokens, version=reply.model or None)
        return annotation(row, (BASELINE, outputs.model), output, preference, judge, told)

    def _bias(self, told: Mapping[str, Reply]) -> PositionBias | None:
        switched = {row["id"]: scoring.is_switched(row["instruction"]) for row in self._rows}
        pairs, seats = [], []
        for name, reply in told.items():
            if not name.endswith(_SWAPPED):
                continue
            number = name.removesuffix(_SWAPPED)
            one = scoring.preference(*_letters(told[number]), switched[number])
            other = scoring.preference(*_letters(reply), not switched[number])
            if one is not None and other is not None:
                pairs.append((one - 1, other - 1))
                seats += [one - 1 if switched[number] else 2 - one, 2 - other if switched[number] else other - 1]
        return position_bias(pairs, seats)


def _letters(reply: Reply) -> tuple[float | None, float | None]:
    """The log-probabilities of the two letters; with white space around them they count where neither bare letter was told."""
    bare = (reply.logprobs.get(FIRST), reply.logprobs.get(SECOND))
    if bare != (None, None):
        return bare
    variants = label_logprobs(reply.logprobs)
    return variants.get(FIRST), variants.get(SECOND)

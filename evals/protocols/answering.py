"""A benchmark's prompts put to a model, turn by turn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evals.asking import ChatModel, Question, Reply
from evals.benchmarks.formats import Outputs
from evals.errors import UserError
from evals.generation import Decoding
from evals.prompts import Message
from evals.protocols.contract import Benchmark, BenchmarkPrompt


@dataclass(frozen=True)
class Candidate:
    """A model under a name, or one of its LoRA adapters."""

    name: str
    adapter: str | None = None


def decoding_for(benchmark: Benchmark, temperature: float = 0.0, top_p: float = 1.0, max_tokens: int | None = None) -> Decoding:
    """The decoding of a benchmark's answers, as long as the benchmark allows unless `max_tokens` says otherwise."""
    return Decoding(temperature, top_p, max_tokens or benchmark.max_tokens)


def answer(benchmark: Benchmark, model: ChatModel, candidates: Sequence[Candidate], decoding: Decoding) -> list[Outputs]:
    """The candidates' answers; adapters of one model are answered for together, turn by turn.

    A category's own temperature goes before that of `decoding`. Raises UserError for a prompt that the model could not answer.
    """
    prompts = benchmark.prompts()
    answers: list[dict[str, tuple[str, ...]]] = [{prompt.id: () for prompt in prompts} for _ in candidates]
    unfinished: list[set[str]] = [set() for _ in candidates]
    for turn in range(max(len(prompt.turns) for prompt in prompts)):
        asked = [(n, prompt) for n in range(len(candidates)) for prompt in prompts if len(prompt.turns) > turn]
        questions = [_question(prompt, answers[n][prompt.id], candidates[n].adapter, decoding) for n, prompt in asked]
        for (n, prompt), reply in zip(asked, model.ask(questions), strict=True):
            answers[n][prompt.id] += (_text(reply, prompt, candidates[n]),)
            unfinished[n] |= set() if reply.finished else {prompt.id}
    made = zip(candidates, answers, unfinished, strict=True)
    return [Outputs(candidate.name, texts, frozenset(cut)) for candidate, texts, cut in made]


def _question(prompt: BenchmarkPrompt, answered: Sequence[str], adapter: str | None, decoding: Decoding) -> Question:
    messages = [Message("user", prompt.turns[0])]
    for text, turn in zip(answered, prompt.turns[1:], strict=False):
        messages += [Message("assistant", text), Message("user", turn)]
    if prompt.temperature is not None:
        decoding = replace(decoding, temperature=prompt.temperature)
    return Question(f"{prompt.id} turn {len(answered) + 1}", tuple(messages), decoding, adapter=adapter)


def _text(reply: Reply, prompt: BenchmarkPrompt, candidate: Candidate) -> str:
    if reply.failure:
        raise UserError(
            f"{candidate.name} did not answer: {reply.failure}", f"prompt {prompt.id}", "raise `max_model_len` if the model allows it"
        )
    return reply.text

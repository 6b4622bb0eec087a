"""A pair ranker as a scorer: all responses to a prompt are compared with each other, two at a time, in both orders."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from evals.asking import ChatModel, Keep, Question, Reply, forget
from evals.model_files import fingerprint, local_model
from evals.prompts import EvaluationPrompt, Message
from evals.scoring import ScoredItem

# So many comparisons are encoded, and sorted by their lengths, at a time.
_WINDOW = 2048


@dataclass(frozen=True)
class PairRankerScorer:
    """How far a response is ahead of the responses that it is scored with.

    A response's lead over another is the logit with it first less the logit with it second; its score is the mean of its leads over all
    responses to the prompt, itself included, as LLM-Blender's `rank` has it. So scores compare responses of one call only: those to a
    prompt belong into the same one, and one that is alone has no score.
    """

    model: ChatModel

    @property
    def name(self) -> str:
        return self.model.name

    def score(self, items: Sequence[ScoredItem]) -> list[float | None]:
        """Scores in order; None for a response that has nothing to be compared with. Raises what the ranker raises."""
        prompts: dict[EvaluationPrompt, list[str]] = {}
        for item in items:
            prompts.setdefault(item.prompt, []).append(item.text)
        leads = self._leads(prompts)
        return [_mean([leads.get((item.prompt, item.text, other), 0.0) for other in prompts[item.prompt]]) for item in items]

    def _leads(self, prompts: dict[EvaluationPrompt, list[str]]) -> dict[tuple[EvaluationPrompt, str, str], float | None]:
        """The lead of each response over each different one to the same prompt; None where it could not be had."""
        pairs = [(prompt, *pair) for prompt, texts in prompts.items() for pair in combinations(sorted(set(texts)), 2)]
        leads: dict[tuple[EvaluationPrompt, str, str], float | None] = {}
        replies = self.model.ask([comparison_question(*pair) for pair in pairs])
        for (prompt, first, second), reply in zip(pairs, replies, strict=True):
            leads[prompt, first, second] = lead = _lead(reply)
            leads[prompt, second, first] = None if lead is None else -lead
        return leads


def comparison_question(prompt: EvaluationPrompt, first: str, second: str) -> Question:
    """What a pair ranker is asked: the conversation, and two responses to it."""
    return Question(prompt.id, (*prompt.messages, Message("first", first), Message("second", second)))


@dataclass(frozen=True)
class PairRanker:
    """Answers a comparison with two logits in text: of the first response against the second, and with the two in the other order.

    A logit is positive where the response that is read first is better. Loads on a GPU where there is one; `batch_size` readings are made
    at a time, of similar length. `source_length` and `candidate_length` say where prompts and responses are cut, in tokens (see
    pair_ranking_model.PairReader); those of PairRM are the defaults. `precision` is fp32, bf16 or fp16.
    """

    model: str
    batch_size: int = 16
    source_length: int = 1224
    candidate_length: int = 412
    precision: str = "fp32"

    @property
    def repeats_itself(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return f"pair ranker {self.model} ({self._version}) {self._reading}"

    @property
    def identity(self) -> str:
        return f"pair ranker {self._version} {self._reading}"

    @property
    def _reading(self) -> str:
        """What else scores depend on."""
        return f"cut at {self.source_length} + 2 x {self.candidate_length} tokens, {self.precision}"

    @cached_property
    def _version(self) -> str:
        return fingerprint(local_model(self.model))

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """One reply per comparison, in order; each is handed to `keep` with its batch.

        Raises ModelError for a model that cannot be loaded, or is no pair ranker.
        """
        replies: list[Reply] = [Reply()] * len(questions)
        for start in range(0, len(questions), _WINDOW):
            for number, reply in self._replies(questions[start : start + _WINDOW]):
                replies[start + number] = reply
                keep(start + number, reply)
        return replies

    def _replies(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Replies with the numbers of their questions, the shortest first."""
        from evals.scorers.pair_ranking_model import logits

        reader, model = self._loaded
        encoded = reader.readings([_texts(question) for question in questions])
        order = sorted(range(len(encoded)), key=lambda number: len(encoded[number][0].tokens))
        size = max(1, self.batch_size // 2)
        for chosen in (order[start : start + size] for start in range(0, len(order), size)):
            found = logits(model, [reading for number in chosen for reading in encoded[number]])
            for number, pair in zip(chosen, zip(found[::2], found[1::2], strict=True), strict=True):
                yield number, _reply(pair, 2 * len(encoded[number][0].tokens))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch

        from evals.scorers.pair_ranking_model import PairReader, load_pair_ranker

        precision = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        tokenizer, model = load_pair_ranker(self.model, precision)
        return PairReader(tokenizer, self.source_length, self.candidate_length), model


def _texts(question: Question) -> tuple[str, str, str]:
    *prompt, first, second = question.messages
    return EvaluationPrompt(question.id, tuple(prompt)).text, first.content, second.content


def _reply(pair: tuple[float, float], tokens: int) -> Reply:
    if not all(math.isfinite(logit) for logit in pair):
        return Reply(failure=f"the ranker's logits are {pair[0]} and {pair[1]}")
    return Reply(f"{pair[0]!r} {pair[1]!r}", prompt_tokens=tokens)


def _lead(reply: Reply) -> float | None:
    if reply.failure:
        return None
    forward, backward = map(float, reply.text.split())
    return forward - backward


def _mean(leads: Sequence[float | None]) -> float | None:
    """The mean of the leads; None where one is unknown, or where there is nobody else."""
    known = [lead for lead in leads if lead is not None]
    return math.fsum(known) / len(known) if len(known) == len(leads) > 1 else None

"""What it means to ask a language model: a conversation in, a reply out. Candidates and judges are asked the same way."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evals.generation import Decoding
from evals.model_files import fingerprint
from evals.prompts import Message

GREEDY = Decoding()


@dataclass(frozen=True)
class Question:
    """A conversation whose next turn is wanted.

    With `labels`, the log-probability is wanted that the next turn begins with each of them; without, its text. `adapter` is the
    directory of a LoRA adapter to answer with. `attempt` tells a repeated question from the first one. `as_sample` wants a text to
    train on: one whose encoding gives the generated tokens, with their log-probability, which models of this machine can tell.
    """

    id: str
    messages: tuple[Message, ...]
    decoding: Decoding = GREEDY
    labels: tuple[str, ...] = ()
    adapter: str | None = None
    attempt: int = 0
    as_sample: bool = False


@dataclass(frozen=True)
class Reply:
    """A model's next turn. `logprobs` has the labels that the model gave any probability, `tokens` counts those generated.

    `model` is the model's version as its server names it, `cost` what was paid for it, failed attempts included, in the currency of the
    prices. `failure` says why there is no reply, where there is none: a conversation longer than the context, a refusal by the server. Of
    a sample, `logprob` is the sum over the tokens generated, before temperature, in nats, and `respelt` tells that encoding the text gives
    other tokens.
    """

    text: str = ""
    logprobs: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    tokens: int = 0
    finished: bool = True
    model: str = ""
    cost: float = 0.0
    failure: str = ""
    logprob: float | None = None
    respelt: bool = False


Keep = Callable[[int, Reply], None]


class ChatModel(Protocol):
    """Answers questions. `name` is for people; `identity` names everything besides the question that a reply depends on.

    `repeats_itself` is True for a model whose reply to the same question is always the same.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def repeats_itself(self) -> bool: ...

    def ask(self, questions: Sequence[Question], keep: Keep = ...) -> list[Reply]:
        """One reply per question, in order; each is handed to `keep`, with its question's number, as soon as it is there."""
        ...


def forget(number: int, reply: Reply) -> None:
    """The `keep` of those who wait for all replies."""


def question_key(identity: str, question: Question) -> str:
    """The hash under which a reply is remembered: of the model, its settings and the question, the question's own id left out.

    The seed of sampled replies depends on the id, so that there the id counts.
    """
    decoding = vars(question.decoding)
    told: list[Any] = [identity, [message.as_dict() for message in question.messages], decoding, question.labels, question.attempt]
    if question.as_sample:
        told.append("sample")
    if question.adapter is not None:
        told.append(fingerprint(Path(question.adapter)))
    if question.decoding.temperature > 0 and not question.labels:
        told.append(question.id)
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()

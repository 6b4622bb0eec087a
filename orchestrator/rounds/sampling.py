"""Training prompts to questions, and replies to the responses that are worth scoring."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evals.asking import Question, Reply
from evals.generation import Decoding
from evals.prompts import EvaluationPrompt, Message
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.settings import GenerationSettings

_LEFT_OUT = ("alike", "without", "empty", "unfinished", "repeated", "failed", "respelt")


@dataclass(frozen=True)
class Sampled:
    """A prompt with different responses to it; `mean_logps` are each one's log-probability per token, in nats, under who wrote it."""

    prompt: EvaluationPrompt
    texts: tuple[str, ...]
    mean_logps: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """As a line of `responses.jsonl`, which is a row of data too."""
        known = {key: value for key, value in asdict(self.prompt).items() if value and key in {"id", "reference", "answer", "pattern"}}
        messages = [message.as_dict() for message in self.prompt.messages]
        return {"prompt": messages, "responses": list(self.texts), "mean_logps": list(self.mean_logps), **known}


@dataclass(frozen=True)
class Sampling:
    """What came of asking: prompts with two different responses or more, and what was left out.

    `prompts` were asked; `alike` had only one response to be told apart, `without` none at all. Of `replies` replies, `empty` ones,
    `unfinished` ones, which the limit of tokens cut off, and `repeated` ones were left out. `failed` prompts are longer than the context.
    Of the responses that were kept, encoding the text of `respelt` ones gives other tokens than were generated.
    """

    sampled: Sequence[Sampled] = field(repr=False)
    prompts: int
    replies: int
    tokens: int
    alike: int
    without: int
    empty: int
    unfinished: int
    repeated: int
    failed: int
    respelt: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts."""
        counts = {name: value for name, value in vars(self).items() if name != "sampled"}
        return counts | {"kept": len(self.sampled)}


def questions(prompts: Sequence[EvaluationPrompt], settings: GenerationSettings, adapter: str | None = None) -> list[Question]:
    """`responses` questions for each prompt, one after another; the attempt gives each sample its own seed."""
    decoding = Decoding(settings.temperature, settings.top_p, settings.max_tokens, settings.seed)
    return [
        Question(prompt.id, prompt.messages, decoding, adapter=adapter, attempt=attempt, as_sample=True)
        for prompt in prompts
        for attempt in range(settings.responses)
    ]


def sampled(prompts: Sequence[EvaluationPrompt], replies: Sequence[Reply]) -> Sampling:
    """The replies to `questions`, prompt by prompt. A reply that is cut off would be learnt with an end that was never written."""
    each = len(replies) // max(1, len(prompts))
    found: list[Sampled] = []
    counts: dict[str, int] = dict.fromkeys(_LEFT_OUT, 0)
    for number, prompt in enumerate(prompts):
        texts: dict[str, float] = {}
        own = replies[number * each : (number + 1) * each]
        counts["failed"] += any(reply.failure for reply in own)
        for reply in own:
            if reply.failure:
                continue
            if (flaw := _flaw(reply, texts)) is not None:
                counts[flaw] += 1
            else:
                counts["respelt"] += reply.respelt
                texts[reply.text] = (reply.logprob or 0.0) / max(1, reply.tokens)
        if len(texts) > 1:
            found.append(Sampled(prompt, tuple(texts), tuple(texts.values())))
        else:
            counts["alike" if texts else "without"] += 1
    return Sampling(found, len(prompts), len(replies), sum(reply.tokens for reply in replies), **counts)


def _flaw(reply: Reply, texts: Mapping[str, float]) -> str | None:
    if not reply.text.strip():
        return "empty"
    if not reply.finished:
        return "unfinished"
    return "repeated" if reply.text in texts else None


def prompts_of(pairs: Iterable[PreferencePair]) -> list[EvaluationPrompt]:
    """The different prompts of a data set, in its order."""
    return [prompt_of(messages) for messages in dict.fromkeys(pair.prompt for pair in pairs)]


def prompt_of(messages: Sequence[Message]) -> EvaluationPrompt:
    """A prompt named by its content: the same one has the same samples wherever it stands."""
    content = json.dumps([message.as_dict() for message in messages], ensure_ascii=False)
    return EvaluationPrompt(hashlib.sha256(content.encode()).hexdigest()[:16], tuple(messages))


def of_round(prompts: Sequence[EvaluationPrompt], number: int, each: int | None) -> list[EvaluationPrompt]:
    """The prompts of round `number`, counted from 1: all, or the next `each`, beginning again when they are used up."""
    if each is None or each >= len(prompts):
        return list(prompts)
    start = (number - 1) * each
    return [prompts[place % len(prompts)] for place in range(start, start + each)]

"""Chat completions as servers send them: of any size, and any part of them missing or of another type than the API says."""

import json
from collections.abc import AsyncIterable
from typing import Any

from evals.asking import Question, Reply
from evals.chat_models.retrying import MalformedAnswerError, RefusedAnswerError

# Far beyond what an answer takes with its reasoning. Compressed, a thousand times as much travels.
LARGEST_ANSWER = 8 << 20
# The longest tokens of tokenizers in use, in letters: runs of spaces and of dashes.
LONGEST_TOKEN = 128
_LONGEST_NAME = 200
# JSON has integers of any length. None of these is a count of tokens, nor can a price be multiplied by all of them.
_MANY = 1 << 53


async def body_of(parts: AsyncIterable[bytes]) -> bytes:
    """The whole of an answer. Raises MalformedAnswerError for one that is too large or breaks off."""
    body = bytearray()
    try:
        async for part in parts:
            body += part
            if len(body) > LARGEST_ANSWER:
                break
    # Each version of the SDK has an HTTP library of its own, whose errors it does not turn into its own here.
    except Exception as error:
        raise MalformedAnswerError(f"the answer breaks off: {error!r}") from error
    if len(body) > LARGEST_ANSWER:
        raise MalformedAnswerError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
    return bytes(body)


def completion_in(body: bytes) -> Any:
    """What an answer holds. Raises MalformedAnswerError for no JSON."""
    try:
        return json.loads(body)
    except (RecursionError, ValueError) as error:
        raise MalformedAnswerError(f"the answer is no JSON: {error}") from error


def counts(completion: Any) -> tuple[int | None, int | None]:
    """The tokens of the question and of the answer; None for what the server does not tell, or tells and cannot be."""
    usage = completion.get("usage") if isinstance(completion, dict) else None
    told = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    prompt_tokens, tokens = (n if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < _MANY else None for n in told)
    return prompt_tokens, tokens


def reply_in(completion: Any, body: bytes, question: Question, room: int, most_tops: int) -> Reply:
    """The reply of the completion in `body` that was allowed `room` tokens and `most_tops` log-probabilities.

    Raises MalformedAnswerError for what is no completion, and RefusedAnswerError for a refusal.
    """
    try:
        return _reply(completion, question, room, most_tops)
    # What is no table has no keys, what is no list no first member, and not all that is called a number is one.
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise MalformedAnswerError(f"the answer is no chat completion: {body[:200].decode(errors='replace')}") from error


def _reply(completion: Any, question: Question, room: int, most_tops: int) -> Reply:
    choice = completion["choices"][0]
    message, reason = choice["message"], choice.get("finish_reason")
    if message.get("refusal") or reason == "content_filter":
        raise RefusedAnswerError(f"the model refuses to answer: {message.get('refusal') or 'content filter'}")
    text, (prompt_tokens, tokens) = whole(_text(message.get("content"))), counts(completion)
    return Reply(
        text=text[: room * LONGEST_TOKEN],
        logprobs=_logprobs(choice, most_tops) if question.labels else {},
        prompt_tokens=prompt_tokens or 0,
        tokens=tokens or 0,
        finished=reason != "length" and len(text) <= room * LONGEST_TOKEN,
        model=whole(completion.get("model") or "")[:_LONGEST_NAME],
    )


def _logprobs(choice: Any, most: int) -> dict[str, float]:
    """The log-probabilities of the first token, and of those beside it."""
    content = (choice.get("logprobs") or {}).get("content")
    if not content:
        return {}
    tops = (*(content[0].get("top_logprobs") or ())[:most], content[0])
    return {whole(top["token"])[:LONGEST_TOKEN]: float(top["logprob"]) for top in tops}


def _text(content: Any) -> str:
    """The text of a message, which some servers send in parts."""
    parts = content if isinstance(content, list) else [{"text": content}]
    return "".join(part.get("text") or "" for part in parts if isinstance(part, dict))


def whole(text: str) -> str:
    """The text in letters that UTF-8 has: JSON may hold one half of a letter, which no file takes."""
    return text.encode(errors="replace").decode()

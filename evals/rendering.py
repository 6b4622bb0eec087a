"""Conversations to the tokens that a model answers, by the chat template of its tokenizer."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.errors import ModelError, UserError
from evals.prompts import Message

Tools = Sequence[Mapping[str, Any]]


class TooLongError(UserError):
    """A conversation leaves no room for an answer in the model's context."""


def encode_conversation(tokenizer: Any, messages: Sequence[Message], context: int, where: str) -> list[int]:
    """Render and encode a conversation, ready for the assistant's turn.

    Raises TooLongError for one that leaves no room for an answer in `context` tokens, UserError for one that the template refuses.
    """
    (tokens,) = encode_texts(tokenizer, [prompt_text(tokenizer, messages, where)])
    if len(tokens) + 1 > context:
        what = f"the prompt has {len(tokens)} tokens and its answer needs at least one, but the context is {context} tokens"
        raise TooLongError(what, where, "raise `max_model_len` if the model allows it, or drop the prompt")
    return tokens


def prompt_text(tokenizer: Any, messages: Sequence[Message], where: str, tools: Tools = ()) -> str:
    """Write a conversation as the chat template does, up to and including the opening of the assistant's turn.

    Raises ModelError for a tokenizer without a template, UserError at `where` for a conversation that the template refuses.
    """
    from jinja2 import TemplateError

    check_template(tokenizer)
    try:
        return str(_applied(tokenizer, [message.as_dict() for message in messages], tools))
    except (TemplateError, TypeError) as error:
        raise UserError(f"the chat template refuses the prompt: {error}", where, "change its roles") from error


def prompt_texts(tokenizer: Any, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[str | UserError]:
    """`prompt_text` of many conversations without tools, each with its place; in place of those that the template refuses, the refusal.

    Raises ModelError for a tokenizer without a template.
    """
    from jinja2 import TemplateError

    check_template(tokenizer)
    try:
        return _applied(tokenizer, [[message.as_dict() for message in messages] for messages, _ in conversations], ())
    except (TemplateError, TypeError):
        return [text_or_refusal(tokenizer, messages, where) for messages, where in conversations]


def text_or_refusal(tokenizer: Any, messages: Sequence[Message], where: str, tools: Tools = ()) -> str | UserError:
    """`prompt_text`, or the refusal of a conversation that the template does not write."""
    try:
        return prompt_text(tokenizer, messages, where, tools)
    except UserError as error:
        return error


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Encode texts that the template wrote: it has put every special token, so that the tokenizer adds none."""
    if not texts:
        return []
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and not (backend.truncation or backend.padding or getattr(tokenizer, "split_special_tokens", False)):
        # The same tokens without offsets and masks, which nobody here reads.
        return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False)
    return encoded["input_ids"]


def check_template(tokenizer: Any) -> None:
    """Refuse a tokenizer without a chat template. Raises ModelError."""
    if not getattr(tokenizer, "chat_template", None):
        cure = "add `chat_template` to its tokenizer_config.json"
        raise ModelError("the tokenizer has no chat template", str(tokenizer.name_or_path), cure, code="DAA-0303")


def single_tokens(tokenizer: Any, text: str) -> list[int]:
    """Find the tokens that are `text`, with or without a space before it. Raises UserError when the tokenizer splits both."""
    encodings = (tokenizer.encode(variant, add_special_tokens=False) for variant in (text, f" {text}"))
    numbers = sorted({encoding[0] for encoding in encodings if len(encoding) == 1})
    if not numbers:
        cure = "judge with the `text` protocol, or with a model whose tokenizer has this token"
        raise UserError(f"the judge's tokenizer has no single token for {text!r}", str(tokenizer.name_or_path), cure)
    return numbers


def _applied(tokenizer: Any, turns: Any, tools: Tools) -> Any:
    return tokenizer.apply_chat_template(turns, tools=list(tools) or None, tokenize=False, add_generation_prompt=True)

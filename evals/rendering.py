"""Conversations to the tokens that a model answers, by the chat template of its tokenizer."""

from collections.abc import Sequence
from typing import Any

from evals.errors import ModelError, UserError
from evals.prompts import Message


class TooLongError(UserError):
    """A conversation leaves no room for an answer in the model's context."""


def encode_conversation(tokenizer: Any, messages: Sequence[Message], context: int, where: str) -> list[int]:
    """Render and encode a conversation, ready for the assistant's turn.

    Raises TooLongError for one that leaves no room for an answer in `context` tokens, UserError for one that the template refuses.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise ModelError("the tokenizer has no chat template", str(tokenizer.name_or_path), "save the tokenizer with its `chat_template`")
    turns = [message.as_dict() for message in messages]
    try:
        tokens = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    except TemplateError as error:
        raise UserError(f"the chat template refuses the prompt: {error}", where, "change its roles") from error
    if len(tokens) + 1 > context:
        what = f"the prompt has {len(tokens)} tokens and its answer needs at least one, but the context is {context} tokens"
        raise TooLongError(what, where, "raise `max_model_len` if the model allows it, or drop the prompt")
    return list(tokens)


def single_tokens(tokenizer: Any, text: str) -> list[int]:
    """Find the tokens that are `text`, with or without a space before it. Raises UserError when the tokenizer splits both."""
    encodings = (tokenizer.encode(variant, add_special_tokens=False) for variant in (text, f" {text}"))
    numbers = sorted({encoding[0] for encoding in encodings if len(encoding) == 1})
    if not numbers:
        cure = "judge with the `text` protocol, or with a model whose tokenizer has this token"
        raise UserError(f"the judge's tokenizer has no single token for {text!r}", str(tokenizer.name_or_path), cure)
    return numbers

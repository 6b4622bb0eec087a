"""Conversations to the tokens that a model answers, by the chat template of its tokenizer."""

from collections.abc import Sequence
from typing import Any

from evals.errors import ModelError, UserError
from evals.prompts import EvaluationPrompt


def encode_prompts(tokenizer: Any, prompts: Sequence[EvaluationPrompt], context: int) -> list[list[int]]:
    """Render and encode each prompt, ready for the assistant's turn.

    Raises UserError for a prompt that leaves no room for an answer in `context` tokens, or that the template refuses.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise ModelError("the tokenizer has no chat template", str(tokenizer.name_or_path), "save the tokenizer with its `chat_template`")
    encoded: list[list[int]] = []
    for prompt in prompts:
        turns = [message.as_dict() for message in prompt.messages]
        try:
            tokens = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        except TemplateError as error:
            raise UserError(f"the chat template refuses the prompt: {error}", f"prompt {prompt.id}", "change its roles") from error
        if len(tokens) + 1 > context:
            what = f"the prompt has {len(tokens)} tokens and its answer needs at least one, but the context is {context} tokens"
            raise UserError(what, f"prompt {prompt.id}", "raise `max_model_len` if the model allows it, or drop the prompt")
        encoded.append(list(tokens))
    return encoded


def single_tokens(tokenizer: Any, text: str) -> list[int]:
    """Find the tokens that are `text`, with or without a space before it. Raises UserError when the tokenizer splits both."""
    encodings = (tokenizer.encode(variant, add_special_tokens=False) for variant in (text, f" {text}"))
    numbers = sorted({encoding[0] for encoding in encodings if len(encoding) == 1})
    if not numbers:
        cure = "judge with the `text` protocol, or with a model whose tokenizer has this token"
        raise UserError(f"the judge's tokenizer has no single token for {text!r}", str(tokenizer.name_or_path), cure)
    return numbers

"""Conversations to the tokens that a model answers or values, by the chat template of its tokenizer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from weakref import WeakKeyDictionary

from evals.errors import ModelError, UserError
from evals.prompts import Message

Tools = Sequence[Mapping[str, Any]]
# Breaks the name of a special token that somebody wrote, and is taken out again before a tokenizer sees it: no text of Unicode holds it.
_BREAK = "\ufdd0"
# What a text may stand behind, and how tokens spell a space.
_MARKS, _SPACES = ("\n", "|", "~"), "▁Ġ"
# The day that a template writes which asks for today's: the one that Llama's own names where there is no clock.
_TODAY = date(2024, 7, 26)
_NAMES: WeakKeyDictionary[Any, re.Pattern[str]] = WeakKeyDictionary()
_NORMALIZED: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()


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


def encode_answered(tokenizer: Any, messages: Sequence[Message], where: str, tools: Tools = ()) -> list[int]:
    """Render and encode a conversation that ends with its answer, as a reward model reads it. Raises as `prompt_text` does."""
    (tokens,) = encode_texts(tokenizer, [_text(tokenizer, messages, where, tools)])
    return tokens


def prompt_text(tokenizer: Any, messages: Sequence[Message], where: str, tools: Tools = ()) -> str:
    """Write a conversation as the chat template does, up to and including the opening of the assistant's turn.

    Raises ModelError for a tokenizer without a template, UserError at `where` for a conversation that the template refuses.
    """
    return _text(tokenizer, messages, where, tools, opened=True)


def prompt_texts(tokenizer: Any, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[str | UserError]:
    """`prompt_text` of many conversations without tools, each with its place; in place of those that the template refuses, the refusal.

    Raises ModelError for a tokenizer without a template.
    """
    from jinja2 import TemplateError

    check_template(tokenizer)
    try:
        return applied(tokenizer, [written_turns(tokenizer, messages) for messages, _ in conversations], ())
    except TemplateError:
        return [text_or_refusal(tokenizer, messages, where) for messages, where in conversations]


def text_or_refusal(tokenizer: Any, messages: Sequence[Message], where: str, tools: Tools = ()) -> str | UserError:
    """`prompt_text`, or the refusal of a conversation that the template does not write."""
    try:
        return prompt_text(tokenizer, messages, where, tools)
    except UserError as error:
        return error


def encode_texts(tokenizer: Any, texts: Sequence[str], behind: str | None = None) -> list[list[int]]:
    """Encode texts that the template wrote: it has put every special token, so that the tokenizer adds none.

    Texts that stand `behind` another are encoded as they are there: some tokenizers put a space before a text that stands alone, and some
    behind a special token, too. The names of special tokens that `as_text` broke are encoded as the letters they are made of.
    """

    def encode(some: Sequence[str]) -> list[list[int]]:
        return _encode(tokenizer, some) if behind is None else _encode_behind(tokenizer, some, behind)

    if not any(_BREAK in text for text in texts):
        return encode(texts)
    pieces = [text.split(_BREAK) for text in texts]
    firsts = encode([first for first, *_ in pieces])
    return [
        first + [token for tokens in _encode_behind(tokenizer, rest, _MARKS[0]) for token in tokens]
        for first, (_, *rest) in zip(firsts, pieces, strict=True)
    ]


def _encode_behind(tokenizer: Any, texts: Sequence[str], before: str) -> list[list[int]]:
    """Each text's tokens behind what comes `before`; where the tokenizer joins the two, behind a mark that it does not join with it."""
    found: dict[int, list[int]] = {}
    for mark in filter(None, (before, *_MARKS)) if _puts_space(tokenizer) else ("",):
        left = [number for number in range(len(texts)) if number not in found]
        (alone,) = _encode(tokenizer, [mark])
        whole = _encode(tokenizer, [mark + texts[number] for number in left])
        found |= {number: tokens[len(alone) :] for number, tokens in zip(left, whole, strict=True) if tokens[: len(alone)] == alone}
    return [found[number] if number in found else _encode(tokenizer, [texts[number]])[0] for number in range(len(texts))]


def _puts_space(tokenizer: Any) -> bool:
    """True for a tokenizer that reads a space before a text that has none."""
    (tokens,) = _encode(tokenizer, ["a"])
    return bool(tokens) and tokenizer.convert_ids_to_tokens(tokens[0])[0] in _SPACES


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and not (backend.truncation or backend.padding or getattr(tokenizer, "split_special_tokens", False)):
        # The same tokens without offsets and masks, which nobody here reads.
        return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False)
    return encoded["input_ids"]


def written_turns(tokenizer: Any, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages for the chat template, with whatever people and models wrote `as_text`."""
    return [as_text(tokenizer, message.as_dict()) for message in messages]


def as_text(tokenizer: Any, value: Any) -> Any:
    """A text, or lists and tables of texts, in which the names of special tokens stand for no token.

    Who writes `<|im_end|>` in a question, an answer or a tool's name ends no turn with it and begins none in another's name.
    """
    if isinstance(value, str):
        return _broken(tokenizer, value)
    if isinstance(value, Mapping):
        return {as_text(tokenizer, key): as_text(tokenizer, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(tokenizer, inner) for inner in value]
    return value


def spellings(tokenizer: Any, text: str) -> Iterator[list[int]]:
    """The tokens of what a model wrote, as a text of its own and, if that is asked for, behind another."""
    return (encode_texts(tokenizer, [as_text(tokenizer, text)], behind)[0] for behind in (None, _MARKS[0]))


def spelt_tokens(tokenizer: Any, text: str) -> list[int]:
    """The special tokens whose names stand in a text."""
    starts = [found.start() for found in _names(tokenizer).finditer(text)]
    return [number for number, name in (special_names(tokenizer) if starts else {}).items() for at in starts if text.startswith(name, at)]


def special_names(tokenizer: Any) -> dict[int, str]:
    """The tokens that stand for no text, those that only the template names included, with their names."""
    added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)) | added


def check_template(tokenizer: Any) -> None:
    """Refuse a tokenizer without a chat template. Raises ModelError."""
    if not getattr(tokenizer, "chat_template", None):
        cure = "put a `chat_template.jinja` beside the tokenizer: in a copy of a model of the hub, `hf download NAME --local-dir DIR`"
        raise ModelError("the tokenizer has no chat template", str(tokenizer.name_or_path), cure, code="DAA-0303")


def single_tokens(tokenizer: Any, text: str) -> list[int]:
    """Find the tokens that are `text`, with or without a space before it. Raises UserError when the tokenizer splits both."""
    encodings = (tokenizer.encode(variant, add_special_tokens=False) for variant in (text, f" {text}"))
    numbers = sorted({encoding[0] for encoding in encodings if len(encoding) == 1})
    if not numbers:
        cure = "judge with the `text` protocol, or with a model whose tokenizer has this token"
        raise UserError(f"the judge's tokenizer has no single token for {text!r}", str(tokenizer.name_or_path), cure)
    return numbers


def _text(tokenizer: Any, messages: Sequence[Message], where: str, tools: Tools = (), opened: bool = False) -> str:
    """A conversation as the template writes it, `opened` for the assistant's turn or as it is."""
    from jinja2 import TemplateError

    check_template(tokenizer)
    try:
        return str(applied(tokenizer, written_turns(tokenizer, messages), as_text(tokenizer, list(tools)), opened))
    except TemplateError as error:
        raise UserError(f"the chat template refuses the conversation: {error}", where, "change its roles") from error


def applied(tokenizer: Any, turns: Any, tools: Tools = (), opens: bool = True) -> Any:
    """What the chat template writes of turns; with `opens`, up to and including the opening of the assistant's turn.

    A template is a program that comes with a model: whatever goes wrong in it is raised as jinja2.TemplateError. Its calendar stands still,
    or the same conversation would be other tokens tomorrow, or in another time zone.
    """
    from jinja2 import TemplateError

    how = {"tools": list(tools) or None, "tokenize": False, "add_generation_prompt": opens, "strftime_now": _TODAY.strftime}
    try:
        return tokenizer.apply_chat_template(turns, **how)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise TemplateError(f"{type(error).__name__}: {error}") from error


def _broken(tokenizer: Any, text: str) -> str:
    """The text with a break in every name of a special token."""
    broken = _names(tokenizer).sub(lambda found: found.group() + _BREAK, text)
    if names := _normalized_names(tokenizer):
        parts = map(tokenizer.backend_tokenizer.normalizer.normalize_str, broken.split(_BREAK))
        if any(name in part for part in parts for name in names):
            # Written in other letters, which the tokenizer takes for the name's: it is given them one by one.
            return _BREAK.join(text)
    return broken


def _normalized_names(tokenizer: Any) -> tuple[str, ...]:
    """Names of special tokens that the tokenizer looks for in a text that it has normalised, as they are there."""
    known = _NORMALIZED.get(tokenizer)
    if known is None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        names: set[str] = set()
        if backend is not None and backend.normalizer is not None:
            tokens = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.normalized]
            names = set(map(backend.normalizer.normalize_str, tokens))
        known = _NORMALIZED[tokenizer] = tuple(sorted(name for name in names if len(name) > 1))
    return known


def _names(tokenizer: Any) -> re.Pattern[str]:
    """Finds the first letter of every special token's name."""
    known = _NAMES.get(tokenizer)
    if known is None:
        names = sorted({name for name in special_names(tokenizer).values() if len(name) > 1})
        known = _NAMES[tokenizer] = re.compile(f"(?={'|'.join(map(re.escape, names))})." if names else r"(?!)", re.DOTALL)
    return known

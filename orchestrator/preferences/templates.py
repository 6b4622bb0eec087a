"""What a chat template writes around an assistant's answer, and with which token generation stops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from evals.model_files import stop_tokens
from evals.prompts import Message
from evals.rendering import applied, as_text, check_template, encode_texts, written_turns
from orchestrator.errors import DataFormatError, ModelError

_ASKED, _ANSWERED = Message("user", "a question"), "  an answer  "


@dataclass(frozen=True)
class AnswerTemplate:
    """How the chat template writes an answer behind the prompt that it opened, learned from one that it wrote.

    `opening` is what the prompt ends with behind its last words. `before` comes between it and the text, `after` are the tokens behind the
    text up to the first one that generation stops at: the template's own end of turn, or the tokenizer's end token where the template has
    none of `stops`. `strips` tells whether the template takes white space off the text.
    """

    tokenizer: Any
    stops: frozenset[int]
    opening: str
    before: str
    after: tuple[int, ...]
    strips: bool
    rest: str

    def text(self, answer: str) -> str:
        """The text of a plain answer as the template writes it, without its end; one that has its own thoughts gets no empty ones."""
        answer = answer.strip() if self.strips else answer
        opening = self.before.split()[:1]
        before = "" if opening and answer.startswith(opening[0]) else self.before
        return before + as_text(self.tokenizer, answer)

    def turn_text(self, prompt: Sequence[Message], opened: str, turn: Message, tools: Sequence[Mapping[str, Any]], where: str) -> str:
        """The same of an answer that is more than a text: what the template writes after `opened`, the prompt's text.

        Raises DataFormatError where the template refuses the answer or does not continue the prompt.
        """
        turns = written_turns(self.tokenizer, (*prompt, turn))
        try:
            whole = str(applied(self.tokenizer, turns, as_text(self.tokenizer, list(tools)), opens=False))
        except TemplateError as error:
            raise DataFormatError(f"the chat template refuses the answer: {error}", where, "change or leave out its fields") from error
        if not whole.startswith(opened):
            cure = "leave out what the answer has besides its text, or use a template that shows it behind the prompt"
            raise DataFormatError("the chat template does not write this answer behind the prompt that it opened", where, cure)
        return whole[len(opened) :].removesuffix(self.rest)

    def notes(self) -> tuple[str, ...]:
        """What people should know of the template: where what it writes around answers is not what generation begins or ends them with."""
        said: list[str] = []
        if self.before.strip():
            said.append(f"the template begins answers with {self.before!r}, which is trained; generation leaves it to the model")
        ends = encode_texts(self.tokenizer, [self.rest], _ANSWERED.strip())[0] if self.rest.strip() else []
        if ends and self.after != tuple(ends[: len(self.after)]):
            shown, rest = self.tokenizer.decode(list(self.after), skip_special_tokens=False), self.rest.strip()
            said.append(f"generation does not stop at {rest!r}, with which the template ends answers: training ends them with {shown!r}")
        return tuple(said)


def answer_template(tokenizer: Any) -> AnswerTemplate:
    """Learn how the tokenizer's template writes answers. Raises ModelError for a tokenizer without a template or without an end token."""
    check_template(tokenizer)
    stops = stops_of(tokenizer)
    turns = [_ASKED.as_dict(), Message("assistant", _ANSWERED).as_dict()]
    try:
        opened = str(applied(tokenizer, turns[:1]))
        whole = str(applied(tokenizer, turns, opens=False))
    except TemplateError as error:
        cure = "correct `chat_template` in its tokenizer_config.json"
        raise ModelError(f"the chat template cannot write a question and its answer: {error}", str(tokenizer.name_or_path), cure) from error
    strips = _ANSWERED not in whole
    shown = whole[len(opened) :] if whole.startswith(opened) else whole
    before, _, rest = shown.partition(_ANSWERED.strip() if strips else _ANSWERED)
    if not whole.startswith(opened):
        before = ""
    after = encode_texts(tokenizer, [rest], _ANSWERED.strip())[0] if rest else []
    first = next((place for place, token in enumerate(after) if token in stops), None)
    ends = after[: first + 1] if first is not None else [tokenizer.eos_token_id]
    opening = opened.rpartition(_ASKED.content)[2]
    return AnswerTemplate(tokenizer, stops, opening, before, tuple(ends), strips, rest)


def stops_of(tokenizer: Any) -> frozenset[int]:
    """The tokens at which engines stop: the tokenizer's end token and those of the model's generation_config.json.

    Raises ModelError for a tokenizer without an end token.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError("the tokenizer has no end token", str(tokenizer.name_or_path), "set its `eos_token`")
    return frozenset((tokenizer.eos_token_id, *stop_tokens(str(tokenizer.name_or_path))))

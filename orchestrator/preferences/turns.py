"""What stands for a conversation in preference data (a text, a list of messages, a transcript of Human and Assistant) becomes Messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.json_lines import parsed_json
from evals.prompts import Message, is_transcript, messages, prompt_messages, transcript
from orchestrator.preferences.rows import RowError

_FURTHER_TURNS = "the conversations differ before their last turn: a response is one assistant's turn, what comes before it is the prompt"


@dataclass(frozen=True)
class Answer:
    """The response of one side: its text, and what else its turn has for the chat template."""

    text: str
    extra: Mapping[str, Any] = field(default_factory=dict)


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of messages, with `role` and `content` or ShareGPT's `from` and `value`."""
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0 and isinstance(value[0], Mapping)


def answer(response: Any) -> Answer:
    """A response: a text, one message, or a list that ends with the assistant's. Raises ValueError for an empty one."""
    if isinstance(response, Mapping):
        response = [response]
    if not isinstance(response, str):
        turns = messages(response)
        if not turns:
            raise ValueError("a response is an empty list")
        last = turns[-1]
        if last.role != "assistant":
            raise ValueError(f"a response ends with a turn of the {last.role}")
        return _whole(Answer(last.content, last.extra))
    return _whole(Answer(response))


def tools_of(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The tools that a row offers: a list of tables, or its JSON. Raises RowError for anything else."""
    found = values.get("tools")
    try:
        tools = parsed_json(found) if isinstance(found, str) and found.strip() else found
    except (TypeError, ValueError) as error:
        raise RowError("unreadable", "`tools` is a text, and no JSON") from error
    if not tools:
        return ()
    if not isinstance(tools, Sequence) or not all(isinstance(tool, Mapping) for tool in tools):
        raise RowError("unreadable", "`tools` is no list of tables")
    return tuple(tools)


def common_prompt(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns with which both conversations begin, all but the last one of each. Raises ValueError where they part earlier."""
    if chosen[:-1] != rejected[:-1]:
        raise RowError("prompt_mismatch", _FURTHER_TURNS)
    return chosen[:-1]


def split_conversations(prompt: Any, chosen: Any, rejected: Any) -> tuple[tuple[Message, ...], Answer, Answer]:
    """Prompt and responses of a row; responses that are whole conversations repeat the prompt, or are all there is of it.

    A response is one assistant's turn: earlier assistant's and tool's turns are part of the prompt where both sides share them, and a row
    whose sides differ in them is refused (ValueError), since only the last turn would be learned.
    """
    first, second = (_conversation(side, bool(prompt)) for side in (chosen, rejected))
    if first is not None and second is None and not prompt:
        prompt = chosen[:-1]
    if first is None or second is None or (len(first) == 1 and len(second) == 1):
        return prompt_messages(prompt), answer(chosen), answer(rejected)
    shared = common_prompt(first, second)
    given = prompt_messages(prompt) if prompt else ()
    if given and shared[: len(given)] != given and not _names_a_turn(shared, prompt, given):
        # What the sides share then only continues the prompt.
        if shared[0].role not in {"assistant", "tool"}:
            raise RowError("prompt_mismatch", "the conversations do not begin with the row's prompt")
        shared = (*given, *shared)
    return shared, _last(first), _last(second)


def _conversation(side: Any, has_prompt: bool) -> tuple[Message, ...] | None:
    """A side as turns, where it is more than a text; a transcript is the text of a response where the row has a prompt of its own."""
    if is_conversation(side):
        return messages(side)
    return transcript(side) if not has_prompt and is_transcript(side) else None


def _names_a_turn(shared: tuple[Message, ...], prompt: Any, given: tuple[Message, ...]) -> bool:
    """Whether the prompt's text is one of the shared turns: some data name the first question, or the last, as the prompt."""
    # A question may be about a transcript.
    text = prompt if isinstance(prompt, str) else given[0].content if len(given) == 1 else None
    return text is not None and any(turn.role == "user" and turn.content.strip() == text.strip() for turn in shared)


def _last(conversation: tuple[Message, ...]) -> Answer:
    last = conversation[-1]
    if last.role != "assistant":
        raise ValueError(f"a conversation ends with a turn of the {last.role}")
    return _whole(Answer(last.content, last.extra))


def _whole(found: Answer) -> Answer:
    if not found.text and not found.extra:
        raise RowError("empty", "a response has no text")
    return found

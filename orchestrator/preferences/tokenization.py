"""Chat template and truncation: PreferencePairs become token ids."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evals.prompts import Message
from evals.rendering import Tools, encode_texts, prompt_text, prompt_texts, text_or_refusal
from orchestrator.errors import DataFormatError, UserError
from orchestrator.preferences.holding_out import hold_out
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.rows import unfit_error
from orchestrator.preferences.templates import AnswerTemplate, answer_template

# So many pairs are encoded at a time: enough for all cores to be busy, few enough for their texts to be forgotten.
_AT_ONCE = 1024


@dataclass(frozen=True)
class TokenizedData:
    """The pairs to train on, how many were left out because truncation made both responses the same, and the pairs that are held out.

    `left_out` says of every other pair that was left out where it lies and why.
    """

    pairs: tuple[TokenizedPair, ...]
    identical: int
    validation: tuple[TokenizedPair, ...] = ()
    left_out: tuple[UserError, ...] = ()


def tokenize(tokenizer: Any, pairs: Sequence[PreferencePair], context: int, held_out: int = 0, leave_out: bool = False) -> TokenizedData:
    """Tokenise with the tokenizer's chat template, and hold out up to `held_out` pairs (see `hold_out`).

    `context` bounds prompt and response together, in tokens: a response is cut at its end, a prompt is never cut.
    Raises ModelError when the tokenizer has no template, DataFormatError when no pair is left and, unless such pairs are to be left out,
    (with file and line) when a prompt leaves no room for an answer or the template refuses a pair.
    """
    left_out: list[UserError] = []
    tokenized: list[TokenizedPair] = []
    for made in fitted(tokenizer, pairs, context):
        if isinstance(made, TokenizedPair):
            tokenized.append(made)
        elif leave_out:
            left_out.append(made)
        else:
            raise unfit_error(made)
    different = [pair for pair in tokenized if pair.chosen != pair.rejected]
    if not different:
        raise all_identical(pairs[0].origin)
    # Mismatched responses come from the same side, so that nothing of a pair that is held out is trained on.
    kept, validation = (tuple(_with_mismatched(side, context)) for side in hold_out(different, held_out))
    return TokenizedData(kept, len(tokenized) - len(different), validation, tuple(left_out))


def fitted(tokenizer: Any, pairs: Sequence[PreferencePair], context: int) -> Iterator[TokenizedPair | UserError]:
    """The pairs as tokens, in order, their responses cut; or why one cannot be: the template refuses it, or its prompt leaves no room.

    Raises ModelError for a tokenizer without a chat template.
    """
    for pair, whole in zip(pairs, encoded(tokenizer, pairs), strict=True):
        yield whole if isinstance(whole, UserError) else fitting(whole, context, pair.origin)


def encoded(tokenizer: Any, pairs: Sequence[PreferencePair]) -> Iterator[TokenizedPair | UserError]:
    """The pairs as tokens, in order, whole: each response with its end, nothing cut; or why the template refuses a pair.

    Raises ModelError for a tokenizer without a chat template.
    """
    template = answer_template(tokenizer)
    batches = [pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE)]
    # The tokenizer works without Python's lock: the next batch is encoded while the last one is looked at.
    with ThreadPoolExecutor(max_workers=1) as beside:
        coming = [beside.submit(_encoded, template, batch) for batch in batches[:1]]
        for number in range(len(batches)):
            made = coming.pop().result()
            coming += [beside.submit(_encoded, template, batch) for batch in batches[number + 1 : number + 2]]
            yield from made


def fitting(pair: TokenizedPair, context: int, origin: str) -> TokenizedPair | UserError:
    """The pair with its responses cut to the room that the prompt leaves, or the refusal of a prompt that leaves none."""
    room = context - len(pair.prompt)
    if room < 1:
        return no_room(pair.prompt, context, origin)
    others = tuple(response[:room] for response in pair.others)
    return replace(pair, chosen=pair.chosen[:room], rejected=pair.rejected[:room], others=others)


def no_room(prompt: Sequence[int], context: int, origin: str) -> DataFormatError:
    """The refusal of a prompt that leaves no room."""
    what = f"a prompt of {len(prompt)} tokens leaves no room for an answer in a context of {context}"
    return DataFormatError(what, origin, "raise `data.context`, or remove the row")


def all_identical(where: str) -> DataFormatError:
    """The refusal of data in which no pair prefers anything."""
    cure = "look at the data, or raise `data.context`"
    return DataFormatError("chosen and rejected are the same in every pair", where, cure, code="DAA-0211")


def prompt_ids(tokenizer: Any, messages: Sequence[Message], where: str = "a prompt", tools: Tools = ()) -> tuple[int, ...]:
    """Token ids (T,) of a conversation up to and including the opening of the assistant's answer."""
    return tuple(encode_texts(tokenizer, [prompt_text(tokenizer, messages, where, tools)])[0])


def _encoded(template: AnswerTemplate, pairs: Sequence[PreferencePair]) -> list[TokenizedPair | UserError]:
    prompts = _prompt_texts(template.tokenizer, pairs)
    written = [_texts(template, pair, prompt) for pair, prompt in zip(pairs, prompts, strict=True)]
    # Each text is encoded once, however many pairs have it.
    good = [of_pair for of_pair in written if not isinstance(of_pair, UserError)]
    opened = _tokens(template.tokenizer, [prompt for prompt, *_ in good])
    tokens = _tokens(template.tokenizer, [text for _, *responses in good for text in responses], template.opening)
    made: list[TokenizedPair | UserError] = []
    for pair, of_pair in zip(pairs, written, strict=True):
        if isinstance(of_pair, UserError):
            made.append(of_pair)
            continue
        chosen, rejected, *others = (tokens[text] + template.after for text in of_pair[1:])
        rewards = tuple(other.reward for other in pair.others)
        made.append(TokenizedPair(opened[of_pair[0]], chosen, rejected, pair.chosen_reward, pair.rejected_reward, tuple(others), rewards))
    return made


def _tokens(tokenizer: Any, texts: Sequence[str], behind: str | None = None) -> dict[str, tuple[int, ...]]:
    different = list(dict.fromkeys(texts))
    return {text: tuple(ids) for text, ids in zip(different, encode_texts(tokenizer, different, behind), strict=True)}


def _prompt_texts(tokenizer: Any, pairs: Sequence[PreferencePair]) -> list[str | UserError]:
    if any(pair.tools for pair in pairs):
        return [text_or_refusal(tokenizer, pair.prompt, pair.origin, pair.tools) for pair in pairs]
    return prompt_texts(tokenizer, [(pair.prompt, pair.origin) for pair in pairs])


def _texts(template: AnswerTemplate, pair: PreferencePair, prompt: str | UserError) -> list[str] | UserError:
    """The texts of a pair: the prompt's, the chosen response's, the rejected one's and those of the others."""
    if isinstance(prompt, UserError):
        return prompt
    texts = [prompt]
    try:
        for text, extra in ((pair.chosen, pair.chosen_extra), (pair.rejected, pair.rejected_extra)):
            turn = Message("assistant", text, extra)
            texts.append(template.turn_text(pair.prompt, prompt, turn, pair.tools, pair.origin) if extra else template.text(text))
    except UserError as error:
        return error
    return [*texts, *(template.text(other.text) for other in pair.others)]


def mismatched_side(index: int) -> str:
    """Which response of another prompt's pair a pair gets as its mismatched one."""
    return "rejected" if index % 2 else "chosen"


def after_prompts(is_repeated: np.ndarray) -> np.ndarray:
    """For each of N pairs the place (N,) of the next one with another prompt, behind the last one the first; of one prompt, the next pair.

    `is_repeated` (N,) tells whether the pair after a pair has the same prompt.
    """
    places = np.arange(len(is_repeated))
    ends = places if is_repeated.all() else np.flatnonzero(~is_repeated)
    return (ends[np.searchsorted(ends, places) % len(ends)] + 1) % len(places)


def _with_mismatched(pairs: Sequence[TokenizedPair], context: int) -> Iterator[TokenizedPair]:
    """Give each pair a response to another prompt: the next one's chosen and rejected one in turn, whatever the batches will be."""
    following = (*pairs[1:], *pairs[:1])
    is_repeated = np.array([pair.prompt == after.prompt for pair, after in zip(pairs, following, strict=True)], dtype=bool)
    for index, (pair, place) in enumerate(zip(pairs, after_prompts(is_repeated), strict=True)):
        response = getattr(pairs[place], mismatched_side(index))
        yield replace(pair, mismatched=response[: context - len(pair.prompt)])

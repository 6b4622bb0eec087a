"""Whole conversations to token ids, as a reward model reads them: the chat template with the response at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from evals.prompts import Message
from evals.rendering import check_template, encode_answered
from orchestrator.errors import DataFormatError, UserError
from orchestrator.preferences.holding_out import USUAL_SHARE, held_numbers
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.rows import BadRow, SetAside, unfit, unfit_error
from orchestrator.preferences.tokenization import all_identical, no_room, prompt_ids


@dataclass(frozen=True)
class Conversations:
    """Pairs as text and as token ids, in the same order."""

    texts: tuple[PreferencePair, ...]
    pairs: tuple[TokenizedPair, ...]


@dataclass(frozen=True)
class RewardData:
    """The pairs to train a reward model on, those that are held out, and how many were left out because truncation made both the same.

    `kinds` says of each file what its rows were taken for; `unused` are rows that gave no pair, and why.
    """

    train: Conversations
    validation: Conversations
    identical: int
    kinds: Sequence[str] = ()
    unused: Sequence[BadRow | SetAside] = ()


@dataclass(frozen=True)
class _Read:
    """A pair as text, its prompt's tokens as a policy is asked, and both conversations."""

    text: PreferencePair
    prompt: tuple[int, ...]
    pair: TokenizedPair


def tokenize_conversations(
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    context: int,
    held_out: int = 0,
    share: float = USUAL_SHARE,
    leave_out: bool = False,
) -> RewardData:
    """Tokenise both conversations of each pair, and hold out up to `held_out`, at most a `share`, by their prompts, as `tokenize` does.

    What the two begin with alike becomes the pair's `prompt`. Each response ends with a padding token, which is never read: the value is
    that of the state before it, and padding that the template itself leaves at the end is taken off, as classifiers overlook it.
    Raises ModelError without a chat template, DataFormatError when no pair is left and, unless such pairs are to be left out, (with file
    and line) when a prompt leaves no room for an answer or the template refuses a pair.
    """
    check_template(tokenizer)
    made = [_read(tokenizer, pair, context) for pair in pairs]
    found, left_out = [each for each in made if isinstance(each, _Read)], [each for each in made if isinstance(each, UserError)]
    if left_out and not (leave_out and found):
        raise left_out[0] if leave_out else unfit_error(left_out[0])
    different = [each for each in found if each.pair.chosen != each.pair.rejected]
    if not different:
        raise all_identical(pairs[0].origin)
    held = held_numbers([each.prompt for each in different], min(held_out, int(share * len(different))))
    sides = [[each for number, each in enumerate(different) if (number in held) == is_held] for is_held in (False, True)]
    train, validation = (Conversations(tuple(each.text for each in side), tuple(each.pair for each in side)) for side in sides)
    return RewardData(train, validation, len(found) - len(different), unused=unfit(left_out))


def _read(tokenizer: Any, pair: PreferencePair, context: int) -> _Read | UserError:
    """A pair's conversations, or why it has none: the template refuses it, or its prompt leaves no room."""
    try:
        prompt = prompt_ids(tokenizer, pair.prompt, pair.origin, pair.tools)
        # The last place is that of the token that is not read.
        room = context - 1
        return no_room(prompt, context, pair.origin) if len(prompt) >= room else _Read(pair, prompt, _tokenized(tokenizer, pair, room))
    except UserError as error:
        return error


def _tokenized(tokenizer: Any, pair: PreferencePair, length: int) -> TokenizedPair:
    """Both conversations, cut, behind what they have in common."""
    turns = (Message("assistant", pair.chosen, pair.chosen_extra), Message("assistant", pair.rejected, pair.rejected_extra))
    chosen, rejected = (_conversation(tokenizer, pair, turn, length) for turn in turns)
    alike = len(list(takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False))))
    if not alike:
        raise DataFormatError("the chat template leaves nothing of the conversation", pair.origin, "choose another model or template")
    padding = (tokenizer.pad_token_id,)
    rewards = pair.chosen_reward, pair.rejected_reward
    return TokenizedPair(chosen[:alike], chosen[alike:] + padding, rejected[alike:] + padding, *rewards)


def _conversation(tokenizer: Any, pair: PreferencePair, turn: Message, length: int) -> tuple[int, ...]:
    """The first tokens of the conversation that ends with the response's turn, up to the last one that is no padding."""
    ids = encode_answered(tokenizer, (*pair.prompt, turn), pair.origin, pair.tools)[:length]
    while ids and ids[-1] == tokenizer.pad_token_id:
        ids.pop()
    return tuple(ids)

"""Whole conversations to token ids, as a reward model reads them: the chat template with the response at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from evals.prompts import Message
from evals.rendering import check_template, conversation_tokens
from orchestrator.errors import DataFormatError
from orchestrator.preferences.holding_out import USUAL_SHARE, held_numbers
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.tokenization import Lengths, prompt_ids


@dataclass(frozen=True)
class Conversations:
    """Pairs as text and as token ids, in the same order."""

    texts: tuple[PreferencePair, ...]
    pairs: tuple[TokenizedPair, ...]


@dataclass(frozen=True)
class RewardData:
    """The pairs to train a reward model on, those that are held out, and how many were left out because truncation made both the same."""

    train: Conversations
    validation: Conversations
    identical: int


def tokenize_conversations(
    tokenizer: Any, pairs: Sequence[PreferencePair], lengths: Lengths, held_out: int = 0, share: float = USUAL_SHARE
) -> RewardData:
    """Tokenise both conversations of each pair, and hold out up to `held_out`, at most a `share`, by their prompts, as `tokenize` does.

    What the two begin with alike becomes the pair's `prompt`. Each response ends with a padding token, which is never read: the value is
    that of the state before it, and padding that the template itself leaves at the end is taken off, as classifiers overlook it.
    Raises ModelError without a chat template, DataFormatError when no pair is left.
    """
    check_template(tokenizer)
    found = [(pair, prompt_ids(tokenizer, pair.prompt), _tokenized(tokenizer, pair, lengths.context)) for pair in pairs]
    different = [each for each in found if each[2].chosen != each[2].rejected]
    if not different:
        cure = "look at the data, or raise `data.context`"
        raise DataFormatError("chosen and rejected are the same in every pair", pairs[0].origin, cure)
    held = held_numbers([prompt for _, prompt, _ in different], min(held_out, int(share * len(different))))
    sides = [[each for number, each in enumerate(different) if (number in held) == is_held] for is_held in (False, True)]
    train, validation = (Conversations(tuple(text for text, _, _ in side), tuple(ids for _, _, ids in side)) for side in sides)
    return RewardData(train, validation, len(found) - len(different))


def conversation_ids(tokenizer: Any, prompt: Sequence[Message], response: str, context: int) -> tuple[int, ...]:
    """Token ids of a conversation that ends with the response, up to the last one that is no padding."""
    ids = conversation_tokens(tokenizer, (*prompt, Message("assistant", response)))[:context]
    while ids and ids[-1] == tokenizer.pad_token_id:
        ids.pop()
    return tuple(ids)


def _tokenized(tokenizer: Any, pair: PreferencePair, context: int) -> TokenizedPair:
    """Both conversations behind what they have in common; each has room for the token that is not read."""
    chosen, rejected = (conversation_ids(tokenizer, pair.prompt, text, context - 1) for text in (pair.chosen, pair.rejected))
    alike = len(list(takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False))))
    if not alike:
        raise DataFormatError("the chat template leaves nothing of the conversation", pair.origin, "choose another model or template")
    padding = (tokenizer.pad_token_id,)
    rewards = pair.chosen_reward, pair.rejected_reward
    return TokenizedPair(chosen[:alike], chosen[alike:] + padding, rejected[alike:] + padding, *rewards)

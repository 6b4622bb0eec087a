"""Chat template and truncation: a PreferencePair becomes token ids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evals.prompts import Message
from orchestrator.errors import DataFormatError, ModelError
from orchestrator.preferences.holding_out import hold_out
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair


@dataclass(frozen=True)
class Lengths:
    """`context` bounds prompt and response together, in tokens; a response is cut at its end, a prompt is never cut."""

    context: int


@dataclass(frozen=True)
class TokenizedData:
    """The pairs to train on, how many were left out because truncation made both responses the same, and the pairs that are held out."""

    pairs: tuple[TokenizedPair, ...]
    identical: int
    validation: tuple[TokenizedPair, ...] = ()


def tokenize(tokenizer: Any, pairs: Sequence[PreferencePair], lengths: Lengths, held_out: int = 0) -> TokenizedData:
    """Tokenise with the tokenizer's chat template, and hold out up to `held_out` pairs (see `hold_out`).

    Raises ModelError when the tokenizer has no template, DataFormatError (with file and line) when a prompt leaves no room for an
    answer, or when no pair is left.
    """
    tokenized = tokenize_each(tokenizer, pairs, lengths)
    different = [pair for pair in tokenized if pair.chosen != pair.rejected]
    if not different:
        raise DataFormatError(
            "chosen and rejected are the same in every pair", pairs[0].origin, "look at the data, or raise `data.context`"
        )
    # Mismatched responses come from the same side, so that nothing of a pair that is held out is trained on.
    kept, validation = (tuple(_with_mismatched(side, lengths)) for side in hold_out(different, held_out))
    return TokenizedData(kept, len(tokenized) - len(different), validation)


def tokenize_each(tokenizer: Any, pairs: Sequence[PreferencePair], lengths: Lengths) -> list[TokenizedPair]:
    """Every pair, in order, those that truncation made identical too, without mismatched responses. Raises as `tokenize` does."""
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            "the tokenizer has no chat template", str(tokenizer.name_or_path), "add `chat_template` to its tokenizer_config.json"
        )
    return [_tokenize_pair(tokenizer, pair, lengths) for pair in pairs]


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> tuple[int, ...]:
    """Token ids (T,) of a conversation up to and including the opening of the assistant's answer."""
    text = tokenizer.apply_chat_template([message.as_dict() for message in messages], tokenize=False, add_generation_prompt=True)
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def _tokenize_pair(tokenizer: Any, pair: PreferencePair, lengths: Lengths) -> TokenizedPair:
    prompt = prompt_ids(tokenizer, pair.prompt)
    room = lengths.context - len(prompt)
    if room < 1:
        raise DataFormatError(
            f"a prompt of {len(prompt)} tokens leaves no room for an answer in a context of {lengths.context}",
            pair.origin,
            "raise `data.context`, or remove the row",
        )
    chosen, rejected, *others = (
        _response_ids(tokenizer, text)[:room] for text in (pair.chosen, pair.rejected, *(other.text for other in pair.others))
    )
    rewards = tuple(other.reward for other in pair.others)
    return TokenizedPair(prompt, chosen, rejected, pair.chosen_reward, pair.rejected_reward, tuple(others), rewards)


def _with_mismatched(pairs: Sequence[TokenizedPair], lengths: Lengths) -> Iterator[TokenizedPair]:
    """Give each pair the response of the pair after it: the chosen and the rejected one in turn, whatever the batches will be."""
    for index, pair in enumerate(pairs):
        after = pairs[(index + 1) % len(pairs)]
        response = after.rejected if index % 2 else after.chosen
        yield replace(pair, mismatched=response[: lengths.context - len(pair.prompt)])


def _response_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return (*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id)

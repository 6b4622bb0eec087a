"""Rows to shards of tokenised pairs: so many rows at a time that they fit in memory, each time with the same boundaries."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.preferences.holding_out import prompt_key
from orchestrator.preferences.mixing import content_key
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.reading import Told, outcomes_by_row
from orchestrator.preferences.rows import BadRow, Row
from orchestrator.preferences.templates import answer_template
from orchestrator.preferences.token_shards import Content, Unused, is_whole_shard, shard_file, write_shard
from orchestrator.preferences.tokenization import fitted

# A shard has at most so many rows, and is full when their text has so many bytes.
_MOST_ROWS, _MOST_BYTES = 4096, 4 << 20
# Raised when the same rows would give other shards, or the same shards another set.
_CODE = "shards-5"


@dataclass(frozen=True)
class Recipe:
    """What decides a shard besides its rows: tokenizer (see `fingerprint`) and context; and `seed`, where pairs are drawn by content."""

    tokenizer: str
    context: int
    seed: int | None = None


def fingerprint(tokenizer: Any) -> str:
    """A hash of what the tokenizer makes of pairs: its vocabulary and rules, the chat template, and how answers end.

    Raises ModelError for a tokenizer without a chat template or an end token.
    """
    from transformers import __version__

    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = sorted(tokenizer.get_vocab().items()) if backend is None else backend.to_str()
    template = answer_template(tokenizer)
    written = (tokenizer.chat_template, template.before, template.after, template.strips, template.rest)
    said = json.dumps([_CODE, __version__, rules, tokenizer.special_tokens_map, written], default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def chunks(rows: Iterable[Row | BadRow]) -> Iterator[bytes]:
    """The rows of one file in order, as JSON arrays of so many as make a shard."""
    held: list[bytes] = []
    size = 0
    for row in rows:
        held.append(json.dumps(asdict(row) if isinstance(row, BadRow) else vars(row), default=str).encode())
        size += len(held[-1])
        if len(held) == _MOST_ROWS or size >= _MOST_BYTES:
            yield b"[" + b",".join(held) + b"]"
            held, size = [], 0
    if held:
        yield b"[" + b",".join(held) + b"]"


def make_shard(tokenizer: Any, recipe: Recipe, chunk: bytes, directory: Path) -> tuple[str, bool]:
    """Tokenise the rows of a chunk into a shard below `directory`, unless it is there: its name, and whether it was.

    Raises DataFormatError for rows that cannot be streamed, ModelError for a tokenizer without a chat template.
    """
    name = hashlib.sha256(json.dumps(asdict(recipe)).encode() + chunk).hexdigest()[:32]
    file = shard_file(directory, name)
    is_there = is_whole_shard(file)
    if not is_there:
        write_shard(file, _content(tokenizer, recipe, chunk))
    return name, is_there


def _content(tokenizer: Any, recipe: Recipe, chunk: bytes) -> Content:
    rows = [(BadRow if "reason" in each else Row)(**each) for each in json.loads(chunk)]
    told = Told()
    pairs: list[PreferencePair] = []
    unused: list[Unused] = []
    for found in outcomes_by_row(rows, told):
        if isinstance(found, PreferencePair):
            pairs.append(found)
        else:
            unused.append(Unused(len(pairs), found))
    made, unfit = _tokenized(tokenizer, pairs, recipe.context)
    prompt_keys = [prompt_key(pair.prompt if pair else ()) for pair in made]
    content_keys = [] if recipe.seed is None else [content_key(pair, recipe.seed) for pair in pairs]
    return Content(made, prompt_keys, content_keys, told.kinds, unused, unfit)


def _tokenized(tokenizer: Any, pairs: Sequence[PreferencePair], context: int) -> tuple[list[TokenizedPair | None], Mapping[int, BadRow]]:
    """The pairs as tokens, None for those that cannot be; and why, by their number."""
    found = list(fitted(tokenizer, pairs, context))
    unfit = {number: BadRow("", each.where, each.what, each.cure) for number, each in enumerate(found) if isinstance(each, UserError)}
    return [None if isinstance(each, UserError) else each for each in found], unfit

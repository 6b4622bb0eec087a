"""Which pairs are kept back from training, to see how a policy orders pairs that it has not learned."""

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from orchestrator.preferences.pairs import TokenizedPair

# At most this share is kept back from policies.
USUAL_SHARE = 1 / 20
KEY_BYTES = 16
_KEYS = f"S{KEY_BYTES}"


def hold_out(pairs: Sequence[TokenizedPair], count: int) -> tuple[list[TokenizedPair], list[TokenizedPair]]:
    """The pairs to train on, and up to `count` others, a twentieth of all at most; both in the order of the data.

    All pairs of a prompt are on one side. Prompts are taken by the hash of their tokens, so that the same data gives the same pairs, in
    whatever order it lies.
    """
    held = held_numbers([pair.prompt for pair in pairs], min(count, int(USUAL_SHARE * len(pairs))))
    kept = [pair for number, pair in enumerate(pairs) if number not in held]
    return kept, [pairs[number] for number in sorted(held)]


def held_numbers(prompts: Sequence[Sequence[int]], room: int) -> set[int]:
    """Which pairs are kept back by the tokens of their prompts, up to `room`."""
    return held_by_key(np.array([prompt_key(prompt) for prompt in prompts], _KEYS), room) if room else set()


def held_by_key(keys: np.ndarray, room: int) -> set[int]:
    """The same by the keys of the prompts, (N,) of bytes."""
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.concatenate([[True], keys[order[1:]] != keys[order[:-1]]])) if len(keys) else np.array([], int)
    held: set[int] = set()
    for begin, end in pairwise((*begins, len(keys))):
        if len(held) + end - begin <= room:
            held.update(order[begin:end].tolist())
        if len(held) == room:
            break
    return held


def prompt_key(prompt: Sequence[int]) -> bytes:
    """A hash of a prompt's tokens, long enough to tell prompts apart."""
    return hashlib.sha256(json.dumps(list(prompt)).encode()).digest()[:KEY_BYTES]

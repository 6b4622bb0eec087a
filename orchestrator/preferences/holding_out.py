"""Which pairs are kept back from training, to see how a policy orders pairs that it has not learned."""

import hashlib
import json
from collections.abc import Sequence

from orchestrator.preferences.pairs import TokenizedPair

# At most this share is kept back from policies.
USUAL_SHARE = 1 / 20


def hold_out(pairs: Sequence[TokenizedPair], count: int) -> tuple[list[TokenizedPair], list[TokenizedPair]]:
    """The pairs to train on, and up to `count` others, a twentieth of all at most; both in the order of the data.

    All pairs of a prompt are on one side. Prompts are taken by the hash of their tokens, so that the same data gives the same pairs, in
    whatever order it lies.
    """
    held = held_numbers([pair.prompt for pair in pairs], min(count, int(USUAL_SHARE * len(pairs))))
    kept = [pair for number, pair in enumerate(pairs) if number not in held]
    return kept, [pairs[number] for number in sorted(held)]


def held_numbers(prompts: Sequence[tuple[int, ...]], room: int) -> set[int]:
    """Which pairs are kept back by the tokens of their prompts, up to `room`."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts) if room else ():
        by_prompt.setdefault(prompt, []).append(number)
    held: set[int] = set()
    for prompt in sorted(by_prompt, key=_hash):
        if len(held) + len(by_prompt[prompt]) <= room:
            held.update(by_prompt[prompt])
    return held


def _hash(prompt: tuple[int, ...]) -> bytes:
    return hashlib.sha256(json.dumps(prompt).encode()).digest()

"""Pairs of several sources in one set: the same data and seed give the same pairs, in whatever order their rows lie."""

import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np

from orchestrator.preferences.pairs import PreferencePair

CONTENT_KEY_BYTES = 32


def mixed(parts: Sequence[tuple[Sequence[PreferencePair], float]], seed: int) -> list[PreferencePair]:
    """The pairs of each part as often as its weight says, part by part, in the order of the data.

    Weight 2 takes every pair twice. A fraction takes the pairs whose content, hashed with `seed`, comes first: a larger weight takes what a
    smaller one does and more.
    """
    return [pair for pairs, weight in parts for pair in _weighted(pairs, weight, seed)]


def content_key(pair: PreferencePair, seed: int = 0) -> bytes:
    """A hash of prompt and responses; rewards and origin do not count."""
    turns = [message.as_dict() for message in pair.prompt]
    content = [seed, turns, pair.chosen, pair.rejected, dict(pair.chosen_extra), dict(pair.rejected_extra)]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()


def shares(weight: float, count: int) -> tuple[int, int]:
    """How often a weight takes all of `count` pairs, and how many of them once more."""
    whole = math.floor(weight)
    return whole, round((weight - whole) * count)


def drawn_first(keys: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` pairs whose content keys, (N,) of bytes, come first; in the order of the data."""
    return np.sort(np.argsort(keys, kind="stable")[:count])


def _weighted(pairs: Sequence[PreferencePair], weight: float, seed: int) -> list[PreferencePair]:
    whole, further = shares(weight, len(pairs))
    drawn = drawn_first(np.array([content_key(pair, seed) for pair in pairs], f"S{CONTENT_KEY_BYTES}"), further) if further else []
    return [*list(pairs) * whole, *(pairs[number] for number in drawn)]

"""Pairs of several sources in one set: the same data and seed give the same pairs, in whatever order their rows lie."""

import hashlib
import json
import math
from collections.abc import Sequence

from orchestrator.preferences.pairs import PreferencePair


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


def _weighted(pairs: Sequence[PreferencePair], weight: float, seed: int) -> list[PreferencePair]:
    whole = math.floor(weight)
    further = round((weight - whole) * len(pairs))
    order = sorted(range(len(pairs)), key=lambda number: content_key(pairs[number], seed)) if further else []
    drawn = set(order[:further])
    return [*list(pairs) * whole, *(pair for number, pair in enumerate(pairs) if number in drawn)]

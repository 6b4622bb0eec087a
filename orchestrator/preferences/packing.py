"""Pairs laid end to end: what they have in common is computed once, and no token is padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from heapq import heapreplace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Unit:
    """Where one prompt and its responses lie: [prompt][response][response]... from `start`, lengths in tokens."""

    start: int
    prompt: int
    responses: tuple[int, ...]

    @property
    def end(self) -> int:
        """The place behind the unit."""
        return self.start + self.prompt + sum(self.responses)


@dataclass(frozen=True)
class PackedResponses:
    """K responses to each of B prompts in one sequence of T tokens; R of the tokens are responses'.

    `tokens` (T,) and their `positions` (T,), which begin after the prompt for each response. `predicting` (R,) is the place whose hidden
    state predicts a response token, `labels` (R,) that token, `response` (R,) its response's number, pair * K + place: all three pair by
    pair. `lengths` (B, K) counts the tokens of each response; one of length 0 is absent. `units` is the layout.
    """

    tokens: Tensor
    positions: Tensor
    predicting: Tensor
    labels: Tensor
    response: Tensor
    lengths: Tensor
    units: tuple[Unit, ...]

    def to(self, device: torch.device) -> PackedResponses:
        """The same on `device`."""
        names = [item.name for item in fields(self) if item.name != "units"]
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in names}
        return replace(self, **moved)

    @cached_property
    def ends(self) -> list[int]:
        """Where each pair's response tokens end among the R, B numbers."""
        return self.lengths.sum(dim=1).cumsum(dim=0).tolist()

    @cached_property
    def ordinal(self) -> Tensor:
        """Which token of its response each of the R is, from 0, (R,)."""
        lengths = self.lengths.flatten()
        starts = lengths.cumsum(dim=0) - lengths
        return torch.arange(len(self.labels), device=self.labels.device) - starts[self.response]

    def places(self, layout: str) -> int:
        """How many tokens a model computes when the responses are laid out "shared", "packed" or "padded" (see ScoringModel)."""
        if layout == "shared":
            return len(self.tokens)
        lengths = [unit.prompt + length for unit in self.units for length in unit.responses if length]
        return sum(lengths) if layout == "packed" else len(lengths) * max(lengths)

    def unshared(self) -> PackedResponses:
        """The same responses, each behind a copy of its prompt: B * K units of one response, absent ones left out."""
        units: list[Unit] = []
        places: list[int] = []
        predicting: list[int] = []
        for unit in self.units:
            begin = unit.start + unit.prompt
            for length in unit.responses:
                if length:
                    units.append(Unit(len(places), unit.prompt, (length,)))
                    places += [*range(unit.start, unit.start + unit.prompt), *range(begin, begin + length)]
                    predicting += range(len(places) - length - 1, len(places) - 1)
                begin += length
        kept = torch.tensor(places, device=self.tokens.device)
        moved = torch.tensor(predicting, device=self.tokens.device)
        return replace(self, tokens=self.tokens[kept], positions=self.positions[kept], predicting=moved, units=tuple(units))


def pack(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[Sequence[int]]]) -> PackedResponses:
    """Lay prompts with their responses end to end. Every prompt has the same number of responses, some of which may be empty."""
    tokens: list[int] = []
    positions: list[int] = []
    predicting: list[int] = []
    labels: list[int] = []
    response: list[int] = []
    units = []
    for pair, (prompt, answers) in enumerate(zip(prompts, responses, strict=True)):
        start = len(tokens)
        units.append(Unit(start, len(prompt), tuple(len(answer) for answer in answers)))
        tokens += prompt
        positions += range(len(prompt))
        for place, answer in enumerate(answers):
            if answer:
                # The prompt's last token predicts the first of every response.
                predicting += [start + len(prompt) - 1, *range(len(tokens), len(tokens) + len(answer) - 1)]
                labels += answer
                response += [pair * len(answers) + place] * len(answer)
            tokens += answer
            positions += range(len(prompt), len(prompt) + len(answer))
    lists = {"tokens": tokens, "positions": positions, "predicting": predicting, "labels": labels, "response": response}
    columns: dict[str, Any] = {name: torch.tensor(values, dtype=torch.long) for name, values in lists.items()}
    lengths = torch.tensor([unit.responses for unit in units], dtype=torch.long)
    return PackedResponses(**columns, lengths=lengths, units=tuple(units))


def split_evenly(costs: Sequence[int], ranks: int, budget: int) -> list[list[list[int]]]:
    """Micro-batches for each of `ranks` ranks, as numbers into `costs`, the tokens of each pair.

    All ranks get the same number of micro-batches, since they meet at each of them, and about the same number of tokens; numbers of pairs
    may differ by one. A micro-batch holds at most `budget` tokens, unless one pair alone is longer or the ranks' shares leave no choice.
    """
    order = sorted(range(len(costs)), key=lambda pair: (-costs[pair], pair))
    rounds = [order[start : start + ranks] for start in range(0, len(order), ranks)]
    # Back and forth: who got the longest of one round gets the shortest of the next.
    shares: list[list[int]] = [[] for _ in range(ranks)]
    for number, dealt in enumerate(rounds):
        for rank, pair in enumerate(dealt):
            shares[rank if number % 2 == 0 else ranks - 1 - rank].append(pair)
    fewest = min(len(share) for share in shares)
    count = max(math.ceil(max(1, sum(costs[pair] for pair in share)) / budget) for share in shares)
    while True:
        count = min(count, fewest)
        bins = [_lightest_first(share, costs, count) for share in shares]
        fullest = max(sum(costs[pair] for pair in held) for of_rank in bins for held in of_rank)
        if fullest <= budget or count == fewest:
            return bins
        count += 1


def _lightest_first(share: Sequence[int], costs: Sequence[int], count: int) -> list[list[int]]:
    """The longest pairs first, each to the bin that holds the least."""
    bins: list[list[int]] = [[] for _ in range(count)]
    by_weight = [(0, number) for number in range(count)]
    for pair in share:
        weight, lightest = by_weight[0]
        bins[lightest].append(pair)
        heapreplace(by_weight, (weight + costs[pair], lightest))
    return [sorted(held) for held in bins]


def split_in_order(costs: Sequence[int], budget: int) -> list[list[int]]:
    """Micro-batches of one rank by itself: numbers into `costs` one after another, up to `budget` tokens or one pair that is longer."""
    made: list[list[int]] = []
    held = budget
    for pair, cost in enumerate(costs):
        if held + cost > budget:
            made.append([])
            held = 0
        made[-1].append(pair)
        held += cost
    return made

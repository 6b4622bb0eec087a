"""Samples that can be listed: those of a grid over a method's ranges."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import isclose
from typing import Any

from orchestrator.distributions import Choice, Distribution, LogUniform
from orchestrator.search.allocation import shares
from orchestrator.search.trial import joint_space, published_samples, ranges_of, shared_settings
from orchestrator.settings import SearchSettings, Settings


def listed_samples(search: SearchSettings, shared: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]] | None]:
    """All samples of each arm under the `shared_settings`, its published one first; None where there is no end of them.

    A grid ends, and so does a method without any range: to train it twice with the same setting tells nothing.
    """
    space = joint_space(search)
    listed: dict[str, list[dict[str, Any]] | None] = {}
    for sample in published_samples(search.arms, space, shared):
        method = sample.pop("method")
        ranges = ranges_of(method, space)
        listed[method] = grid(ranges, search.grid_points, sample) if search.searcher == "grid" or not ranges else None
    return listed


def shares_of(search: SearchSettings, listed: Mapping[str, Sequence[Any] | None]) -> dict[str, int]:
    """How many of the trials each arm gets when all get equally many; `listed` samples are all that there is to try of an arm."""
    return shares({name: None if samples is None else len(samples) for name, samples in listed.items()}, search.trials)


def planned_trials(settings: Settings) -> int:
    """How many trials there will be: fewer than `search.trials` where the samples of all methods can be listed and are fewer."""
    return sum(shares_of(settings.search, listed_samples(settings.search, shared_settings(settings))).values())


def grid(ranges: Mapping[str, Distribution], points: int, published: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of `points` values of each continuous range and all options of the others, after the published setting.

    The published setting is not repeated; what it leaves open is at the first value of its range. Without ranges it is all there is.
    """
    axes = [_values(distribution, points) for distribution in ranges.values()]
    nodes = [dict(zip(ranges, values, strict=True)) for values in product(*axes)]
    first = nodes[0] | dict(published)
    return [first, *(node for node in nodes if not _same(node, first))]


def _values(distribution: Distribution, points: int) -> list[Any]:
    """The ends and what lies evenly between them, by orders of magnitude where the range is logarithmic; a single point is its middle.

    A range of whole numbers may have fewer than so many points.
    """
    if isinstance(distribution, Choice):
        return list(distribution.options)
    low, high = distribution.low, distribution.high
    steps = [0.5] if points == 1 else [index / (points - 1) for index in range(1, points - 1)]
    between = [low * (high / low) ** step if isinstance(distribution, LogUniform) else low + step * (high - low) for step in steps]
    between = [distribution.nearest(value) for value in between]
    return between if points == 1 else list(dict.fromkeys([low, *between, high]))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(isclose(value, other[key]) if isinstance(value, float) else value == other[key] for key, value in one.items())

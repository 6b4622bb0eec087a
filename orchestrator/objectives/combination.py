"""A weighted sum of objectives, as an objective: "dpo+sft", with dpo_weight and sft_weight among its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from functools import cache, cached_property, reduce
from typing import Any, ClassVar

from orchestrator.distributions import Distribution
from orchestrator.errors import SettingsError
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.policy.scores import Needs, PairScores

_WEIGHT = "weight"


class Combination(Objective):
    """The weighted sum of several methods' losses. Choose it to keep one method's strength and mend its weakness with another.

    Made by `combine`. Hyperparameters are the parts', prefixed with their names (`dpo_beta`), and one weight for each (`dpo_weight`).
    Rewards are those of the first part. Each part keeps its own state.
    """

    methods: ClassVar[Sequence[type[Objective]]]

    def __post_init__(self) -> None:
        """Raises SettingsError for a weight or a part's hyperparameter outside its limits."""
        super().__post_init__()
        try:
            _ = self.parts
        except SettingsError as error:
            raise SettingsError(error.what, f"{self.name}, {error.where}", error.cure, error.code) from error

    @cached_property
    def parts(self) -> dict[str, tuple[float, Objective]]:
        """Each part's weight and the part, ready to be called, under its name."""
        own = self.hyperparameters()
        return {method.name: (own[f"{method.name}_{_WEIGHT}"], method(**_owned(own, method))) for method in self.methods}

    @property
    def needs(self) -> Needs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What any part needs."""
        return reduce(Needs.__or__, (part.needs for _, part in self.parts.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its parts and hyperparameters: a class made by `combine` has no module of its own."""
        return _made, (tuple(self.methods), self.hyperparameters())

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """The sum of weight times loss over the parts"""
        outcomes = {name: (weight, part(pair, _part_of(state, name))) for name, (weight, part) in self.parts.items()}
        total = weighted_sum(list(outcomes.values()))
        statistics = {f"{name}.{key}": value for name, (_, outcome) in outcomes.items() for key, value in outcome.statistics.items()}
        return PairLoss(total.loss, total.chosen_reward, total.rejected_reward, statistics)

    def initial_state(self) -> State:
        """Every part's state, its keys prefixed with the part's name."""
        return _joined({name: part.initial_state() for name, (_, part) in self.parts.items()})

    def next_state(self, state: State, averaged: State) -> State:
        """Every part's next state."""
        parts = self.parts.items()
        return _joined({name: part.next_state(_part_of(state, name), _part_of(averaged, name)) for name, (_, part) in parts})

    def compared_anew(self, state: State) -> State:
        """Every part's state under another reference."""
        return _joined({name: part.compared_anew(_part_of(state, name)) for name, (_, part) in self.parts.items()})

    def taken_up(self, state: State, before: Mapping[str, Any]) -> State:
        """Every part's state under its own hyperparameters."""
        parts = self.parts.items()
        return _joined({name: part.taken_up(_part_of(state, name), _owned(before, type(part))) for name, (_, part) in parts})


def combine(methods: Sequence[type[Objective]], where: str = "method") -> type[Objective]:
    """The class of weighted sums of `methods`, named "first+second"; every weight starts at 1.

    The same methods give the same class. Raises SettingsError when a method stands in it twice.
    """
    if len({method.name for method in methods}) < len(methods):
        names = "+".join(method.name for method in methods)
        raise SettingsError(f"{names} names a method twice", where, "give each method one weight")
    return _combined(tuple(methods))


@cache
def _combined(methods: tuple[type[Objective], ...]) -> type[Objective]:
    name = "+".join(method.name for method in methods)
    hyperparameters = [(f"{method.name}_{_WEIGHT}", float, field(default=1.0)) for method in methods]
    search_space: dict[str, Distribution] = {}
    limits: dict[str, Any] = {f"{method.name}_{_WEIGHT}": (lambda value: value >= 0, "0 or more") for method in methods}
    for method in methods:
        own = fields(method)  # pyright: ignore[reportArgumentType]
        hyperparameters += [(f"{method.name}_{item.name}", item.type, field(default=item.default)) for item in own]
        search_space |= {f"{method.name}_{key}": distribution for key, distribution in method.search_space.items()}
    constants = {
        "name": name,
        "paper": "; ".join(method.paper for method in methods),
        "status": "derived",
        "search_space": search_space,
        "limits": limits,
        "methods": methods,
        "__doc__": Combination.__doc__,
    }
    return make_dataclass(f"Combination_{name}", hyperparameters, bases=(Combination,), namespace=constants, frozen=True)


def weighted_sum(outcomes: Sequence[tuple[float, PairLoss]]) -> PairLoss:
    """The sum of weighted losses, (B,), with the first outcome's rewards."""
    losses = [weight * outcome.loss for weight, outcome in outcomes]
    first = outcomes[0][1]
    return PairLoss(sum(losses[1:], start=losses[0]), first.chosen_reward, first.rejected_reward)


def _made(methods: Sequence[type[Objective]], hyperparameters: Mapping[str, Any]) -> Objective:
    return combine(methods)(**hyperparameters)


def _owned(hyperparameters: Mapping[str, Any], method: type[Objective]) -> dict[str, Any]:
    return {item.name: hyperparameters[f"{method.name}_{item.name}"] for item in fields(method)}  # pyright: ignore[reportArgumentType]


def _part_of(state: State, name: str) -> State:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def _joined(states: Mapping[str, State]) -> State:
    return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}

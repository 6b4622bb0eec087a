"""Which methods compete, over which ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from orchestrator.distributions import Choice, Distribution, LogUniform, Uniform
from orchestrator.settings.section import Section


class RangeSettings(Section):
    """A hyperparameter's range: `low` and `high` (and `log`), or `options`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    options: tuple[float | int | str | bool, ...] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> RangeSettings:
        if (self.options is None) == (self.low is None or self.high is None):
            raise ValueError("a range is either low and high, or options")
        if self.options is not None and (self.low is not None or self.high is not None or self.log):
            raise ValueError("a range with options has no low, high or log")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and (self.low or 0) <= 0:
            raise ValueError("a logarithmic range needs low above 0")
        return self

    def distribution(self) -> Distribution:
        """The same range as objectives declare theirs."""
        if self.options is not None:
            return Choice(self.options)
        assert self.low is not None and self.high is not None
        return LogUniform(self.low, self.high) if self.log else Uniform(self.low, self.high)


class SearchSettings(Section):
    """Which methods compete, over which ranges, and how the weak are stopped.

    The first trials are the methods' published defaults, the others are proposed by `searcher`. `space` replaces the ranges of a method
    (`space.dpo.beta`) or lets training settings vary (`space.training.learning_rate`).
    """

    methods: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "dpo",
        "ipo",
        "simpo",
        "alphapo",
        "alpha_dpo",
        "epsilon_dpo",
        "minor_dpo",
    )
    trials: PositiveInt = 20
    searcher: Literal["optuna", "random"] = "optuna"
    scheduler: Literal["asha", "none"] = "asha"
    reduction_factor: Annotated[float, Field(gt=1)] = 3.0
    space: dict[str, dict[str, RangeSettings]] = {}
    seed: NonNegativeInt = 0

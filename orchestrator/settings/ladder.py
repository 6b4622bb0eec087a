"""The settings of cheaper measures than the judge: which are taken, and when they may stand in for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from orchestrator.settings.evaluation import RewardModelSettings, VllmJudgeSettings
from orchestrator.settings.section import Section

ProxyName = Literal["validation", "reward_model", "local_judge"]


class LadderSettings(Section):
    """Cheaper measures than the judge's win rate, the cheapest first, and what they may decide.

    `validation` is the accuracy on held-out pairs, `reward_model` and `local_judge` are win rates by the models given under these names.
    Each one's rank correlation with the judge (Kendall's tau-b) is measured on the search's own trials. With `prune`, trials that a measure
    puts below the best share `keep` of those at the same checkpoint end there, unjudged, while the correlation is surely
    `least_correlation` or more over at least `fewest` trials; one in `audit` of them is judged all the same, so that it is still measured.
    """

    rungs: tuple[ProxyName, ...] = ("validation",)
    prune: bool = False
    fewest: Annotated[int, Field(ge=5)] = 8
    least_correlation: Annotated[float, Field(ge=0, le=0.8)] = 0.5
    audit: PositiveInt = 4
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    reward_model: RewardModelSettings | None = None
    local_judge: VllmJudgeSettings | None = None

    @property
    def models(self) -> dict[ProxyName, RewardModelSettings | VllmJudgeSettings]:
        """The models that are given, by the measure that each one takes."""
        given: dict[ProxyName, RewardModelSettings | VllmJudgeSettings | None]
        given = {"reward_model": self.reward_model, "local_judge": self.local_judge}
        return {name: model for name, model in given.items() if model is not None}

    @model_validator(mode="after")
    def _possible(self) -> LadderSettings:
        if len(set(self.rungs)) < len(self.rungs):
            raise ValueError("rungs names a measure twice")
        for name in ("reward_model", "local_judge"):
            if name in self.rungs and name not in self.models:
                raise ValueError(f"{name} is among the rungs and has no model: give [ladder.{name}], or take it off")
            if name not in self.rungs and name in self.models:
                raise ValueError(f"{name} has a model and is not among the rungs: add it to rungs, or remove its section")
        if self.prune and not self.rungs:
            raise ValueError("prune is on and there is no measure to go by: name one in rungs")
        return self

"""The settings of a reward model's training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, model_validator

from orchestrator.settings import ClusterSettings, DataSettings, ModelSettings, TrainingSettings
from orchestrator.settings.section import DEFAULT_CACHE, Section
from orchestrator.worlds.recipes import TasksRecipe, TextRecipe, World

# Between the 2e-6 of RLHFlow's and the 9e-6 of OpenRLHF's reward models of eight billion parameters, whose head begins at random too.
_RATE = 5e-6


class RewardSettings(Section):
    """A reward model of preference pairs. `world` makes a model and its data; without it, `model.base` and `data.train` are given.

    `data.validation_pairs` are held out, at most a `held_out_share` of all: of a reward model, their accuracy is the result.
    `training.learning_rate` is 5e-6 by default. `margin` and `centring` are those of the loss (see BradleyTerry); the margin needs rewards
    in the data.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "reward"
    world: Annotated[TasksRecipe | TextRecipe, Field(discriminator="kind")] | None = None
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    held_out_share: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    training: TrainingSettings = TrainingSettings(learning_rate=_RATE)
    margin: NonNegativeFloat = 0.0
    centring: NonNegativeFloat = 0.01
    cluster: ClusterSettings = ClusterSettings()
    cache: Path = DEFAULT_CACHE

    @model_validator(mode="before")
    @classmethod
    def _rate_of_reward_models(cls, values: Any) -> Any:
        given = values.get("training") if isinstance(values, Mapping) else None
        given = given.model_dump(exclude_unset=True) if isinstance(given, TrainingSettings) else given
        return {**values, "training": {"learning_rate": _RATE, **given}} if isinstance(given, Mapping) else values

    @model_validator(mode="after")
    def _possible(self) -> RewardSettings:
        inputs = {"model.base": self.model.base, "data.train": self.data.train or self.data.mixture or None}
        given = [path for path, value in inputs.items() if value is not None]
        if self.world is None and len(given) < len(inputs):
            raise ValueError(f"{', '.join(path for path in inputs if path not in given)} must be given when no [world] makes them")
        if self.world is not None and given:
            raise ValueError(f"[world] makes {', '.join(given)} itself: remove one or the other")
        if self.training.lora is not None:
            raise ValueError("a reward model is trained whole, so that one directory holds all of it: leave training.lora out")
        if self.model.references:
            raise ValueError("a reward model is compared with no reference: leave model.references out")
        if self.data.streaming:
            raise ValueError("a reward model is trained on data in memory: leave data.streaming out, or set data.limit")
        self.training.check_workers(self.cluster.workers)
        return self

    def with_world(self, world: World) -> RewardSettings:
        """The same run on what its world made."""
        model, data = self.model.model_copy(update={"base": str(world.model)}), self.data.model_copy(update={"train": str(world.train)})
        return self.model_copy(update={"world": None, "model": model, "data": data})

    def json_ready(self) -> dict[str, Any]:
        """The resolved settings as plain JSON values."""
        return self.model_dump(mode="json")

"""Which of the pairs are trained on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from orchestrator.settings.section import Section

SelectionMetric = Literal["all", "alignment_potential", "reward_margin", "implicit_margin", "random", "rejection_sampling"]


class SelectionSettings(Section):
    """Which of the pairs are trained on: all, the best `fraction` by a metric, or those that a rule accepts.

    `alignment_potential` (M_AP) is the standardised reward margin less `weight` times the standardised implicit margin under the model that
    training starts from; `reward_margin` and `implicit_margin` (small ones first) are its parts. `random` is the control of equal size.
    `rejection_sampling` (RS-DPO) accepts a pair whose sigmoid(reward margin / `tau`) is above `eta`. All but "all" leave out pairs of equal
    rewards. `seed` is that of `random`.
    """

    metric: SelectionMetric = "all"
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.4
    weight: NonNegativeFloat = 1.0
    eta: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    tau: PositiveFloat = 1.0
    seed: NonNegativeInt = 0

    @property
    def needs_rewards(self) -> bool:
        """True when the pairs must have rewards."""
        return self.metric in {"alignment_potential", "reward_margin", "rejection_sampling"}

    @property
    def needs_model(self) -> bool:
        """True when the model that training starts from must score the pairs first."""
        return self.metric in {"alignment_potential", "implicit_margin"}

"""How responses are scored, each by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.settings.evaluation import OpenAISettings, RewardModelSettings, VerifierSettings, VllmJudgeSettings
from orchestrator.settings.section import Section


class RatingSettings(Section):
    """A language model rates each response from 1 to 10. What `model` says about pairs is not asked."""

    kind: Literal["judge"]
    model: Annotated[OpenAISettings | VllmJudgeSettings, Field(discriminator="kind")]


class ClosenessSettings(Section):
    """Closeness to the prompt's `reference` (chrF)."""

    kind: Literal["reference"]


class LengthSettings(Section):
    """The number of characters: more is better, or less."""

    kind: Literal["length"]
    prefer: Literal["longer", "shorter"] = "longer"


ScorerSettings = Annotated[
    RewardModelSettings | RatingSettings | VerifierSettings | ClosenessSettings | LengthSettings, Field(discriminator="kind")
]

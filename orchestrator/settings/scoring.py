"""How responses are scored."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from orchestrator.settings.evaluation import (
    CustomJudgeSettings,
    OpenAISettings,
    RewardModelSettings,
    ScoringSection,
    VerifierSettings,
    VllmJudgeSettings,
)
from orchestrator.settings.section import ModelName

# Kinds of scorers that compare a response with what its prompt says is right.
KNOWING = frozenset({"verifier", "reference"})


class RatingSettings(ScoringSection):
    """A language model rates each response from 1 to 10. What `model` says about pairs is not asked."""

    kind: Literal["judge"]
    model: Annotated[OpenAISettings | VllmJudgeSettings, Field(discriminator="kind")]

    @property
    def local_model(self) -> str | None:
        return self.model.local_model

    @property
    def price(self) -> float:
        return self.model.price


class PairRankerSettings(ScoringSection):
    """A model of PairRM's architecture compares each two responses to a prompt in both orders; the score is how far one leads the others.

    Prompts are cut at `source_length` tokens, and responses where both together take what the prompt leaves of that and twice
    `candidate_length`; `batch_size` comparisons are read at a time. Each actor is on a GPU where the cluster has any.
    """

    kind: Literal["pair_ranker"]
    model: ModelName
    gpus: NonNegativeFloat | None = None
    batch_size: PositiveInt = 16
    source_length: Annotated[int, Field(ge=16)] = 1224
    candidate_length: Annotated[int, Field(ge=16)] = 412
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"

    @property
    def local_model(self) -> str:
        return self.model


class ClosenessSettings(ScoringSection):
    """Closeness to the prompt's `reference` (chrF)."""

    kind: Literal["reference"]


class LengthSettings(ScoringSection):
    """The number of characters: more is better, or less."""

    kind: Literal["length"]
    prefer: Literal["longer", "shorter"] = "longer"


class CustomScorerSettings(CustomJudgeSettings):
    """A scorer of one's own, "your_module:YourClass": see docs/extending.md. It is made with the `options`, and holds no GPU."""

    does: ClassVar[str] = "score"


ScorerSettings = Annotated[
    RewardModelSettings
    | PairRankerSettings
    | RatingSettings
    | VerifierSettings
    | ClosenessSettings
    | LengthSettings
    | CustomScorerSettings,
    Field(discriminator="kind"),
]

"""How checkpoints are scored: prompts, decoding, judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from orchestrator.settings.section import Section


class EvaluationSettings(Section):
    """Which prompts score a checkpoint, and how they are answered. `held_out` prompts are used once, for the winner.

    A score for which more than the share `max_unreadable` of verdicts could not be read is refused.
    """

    prompts: Path | None = None
    held_out: Path | None = None
    temperature: NonNegativeFloat = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: PositiveInt = 512
    seed: NonNegativeInt = 0
    max_model_len: PositiveInt | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.6
    max_unreadable: Annotated[float, Field(ge=0, lt=1)] = 0.1


class VerifierSettings(Section):
    """Right beats wrong, by each prompt's own `answer` or `pattern`."""

    kind: Literal["verifier"]


class ReferenceSettings(Section):
    """The response closer to the prompt's `reference` wins (chrF); differences up to `tie_margin` points are ties."""

    kind: Literal["reference"]
    tie_margin: NonNegativeFloat = 0.0


class OpenAISettings(Section):
    """A model behind an OpenAI-compatible endpoint. The key is read from the environment variable `api_key_env`."""

    kind: Literal["openai"]
    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    protocol: Literal["logprobs", "text"] = "logprobs"
    max_concurrency: PositiveInt = 16
    timeout_s: PositiveFloat = 60.0
    max_attempts: PositiveInt = 6


class VllmJudgeSettings(Section):
    """A model in an actor of this cluster, which compares by the log-probabilities of two tokens."""

    kind: Literal["vllm"]
    model: str
    gpus: NonNegativeFloat = 1.0


JudgeSettings = Annotated[VerifierSettings | ReferenceSettings | OpenAISettings | VllmJudgeSettings, Field(discriminator="kind")]

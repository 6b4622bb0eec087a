"""What counts for answering prompts, without training and judges: a part of the settings of a run."""

from __future__ import annotations

from pathlib import Path

from orchestrator.settings import ClusterSettings, EvaluationSettings, GenerationSettings
from orchestrator.settings.section import DEFAULT_CACHE, Section


class SampledRounds(Section):
    """Of rounds, how a model answers."""

    generation: GenerationSettings = GenerationSettings()


class GeneratingSettings(Section):
    """How answers are sampled, on which engines, and where they are kept; of `evaluation`, the context and the engines' memory count."""

    rounds: SampledRounds = SampledRounds()
    evaluation: EvaluationSettings = EvaluationSettings()
    cluster: ClusterSettings = ClusterSettings()
    cache: Path = DEFAULT_CACHE

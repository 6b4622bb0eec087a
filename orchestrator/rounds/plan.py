"""What a round trains, from which model, and what it is compared with."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from orchestrator.errors import SettingsError
from orchestrator.settings import RoundsSettings, Settings

# Where a round's model lies whose adapters are merged into their base, beside its checkpoints.
MERGED = "merged"


def required_rounds(settings: Settings) -> RoundsSettings:
    """The settings' rounds. Raises SettingsError for settings that have none."""
    if settings.rounds is None:
        raise SettingsError("there is no [rounds] in the settings", "rounds", "add the section; jobs/examples has some")
    return settings.rounds


def most_rounds(settings: Settings) -> int:
    """The most rounds that a trial of a search may be trained in. Raises SettingsError for settings that have none."""
    searched = settings.search.space.get("rounds", {}).get("count")
    if searched is None:
        return required_rounds(settings).count
    return int(max(cast("Sequence[float]", searched.ends)))


def merges_adapters(settings: Settings) -> bool:
    """Whether a round's adapters are merged into their base: later rounds start from the model, or compare the policy with it."""
    rounds = required_rounds(settings)
    is_loaded = rounds.start == "previous" or rounds.reference == "extrapolated" or rounds.past_references
    return settings.training.lora is not None and rounds.count > 1 and is_loaded


def round_settings(settings: Settings, models: Sequence[str], data: Path | None) -> Settings:
    """The settings of the next round on `data`, or on the given pairs; `models` are the base model and those of the rounds before."""
    rounds = required_rounds(settings)
    start = models[-1] if rounds.start == "previous" else models[0]
    further = (*models[:-1],) or (models[0],)
    model = settings.model.model_copy(
        update={
            "base": start,
            "reference": reference(rounds, models, start),
            "references": further if rounds.past_references else settings.model.references,
        }
    )
    return settings.model_copy(update={"model": model, "data": settings.data.of_file(data) if data else settings.data})


def reference(rounds: RoundsSettings, models: Sequence[str], start: str) -> dict[str, float]:
    """The models that the policy is compared with, and their weights.

    The extrapolation is that of accelerated preference optimisation, derived from arXiv:2410.06293: the later policy times its ratio to the
    earlier one to the power a. Its normaliser is the same for both responses to a prompt, and so is nothing to a pair.
    """
    if rounds.reference == "base":
        return {models[0]: 1.0}
    if rounds.reference == "extrapolated" and len(models) > 1:
        return {models[-1]: 1 + rounds.extrapolation, models[-2]: -rounds.extrapolation}
    return {start: 1.0}


def boundaries(steps: Sequence[int], rounds: int) -> list[int]:
    """At which of a run's checkpoint `steps` each of its rounds ends: as evenly as these allow, the last step being the last one's."""
    count = min(rounds, len(steps))
    return [steps[len(steps) * number // count - 1] for number in range(1, count + 1)]

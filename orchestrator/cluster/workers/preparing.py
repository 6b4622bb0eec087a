"""What a search trains on, made or read and checked before any worker sees it."""

from pathlib import Path
from typing import Any

from rich.markup import escape

from orchestrator.cluster.workers.streaming import stream_inputs
from orchestrator.cluster.workers.training_workers import inputs_of
from orchestrator.estimates.amounts import trained_on
from orchestrator.objectives import method_named
from orchestrator.report.narration import Narrator
from orchestrator.settings import Settings
from orchestrator.settings_file import check_prompts
from orchestrator.worlds import in_world


def prepared(settings: Settings, story: Narrator, directory: Path, is_judged: bool = True) -> tuple[Settings, Any]:
    """Make the settings' world, if they name one, and load the inputs as the workers will; rows without a pair go to `directory`.

    What is not judged needs no prompts that its judge can use.
    """
    settings = in_world(settings, story.say)
    if settings.data.streaming:
        with story.waiting("streaming the pairs into the cache"):
            stream_inputs(settings, directory, lambda line: story.say(escape(line)))
    inputs = checked_inputs(settings, directory, is_judged)
    story.data_read(inputs.kinds, inputs.unused, directory)
    return settings, inputs


def checked_inputs(settings: Settings, directory: Path, is_judged: bool = True) -> Any:
    """Load, tokenise and check the data, so that bad input is refused here and not by a worker."""
    from orchestrator.training.inputs import check_needs

    assert settings.model.base is not None and settings.data.sources and settings.evaluation.prompts is not None
    if is_judged:
        check_prompts(settings)
    inputs = inputs_of(settings, directory)
    needs = {name: method_named(name)().needs for name in settings.search.arms}
    check_needs(needs, inputs, settings.data.named, len(settings.model.references))
    selected(settings, inputs)
    return inputs


def selected(settings: Settings, inputs: Any) -> int:
    """How many pairs a trial is trained on. Raises DataFormatError for too few (see `trained_on`)."""
    from orchestrator.selection.choosing import explicit_margins

    return trained_on(settings, explicit_margins(inputs.pairs))


def tell_pairs(settings: Settings, inputs: Any, count: int, story: Narrator) -> None:
    """Say how many pairs there are, and how many are trained on."""
    story.say(
        f"{len(inputs.pairs)} pairs to train on"
        + (f", {len(inputs.validation)} held out" if inputs.validation else "")
        + (f" ({inputs.identical} left out: both answers are the same)" if inputs.identical else "")
        + (f"; {count} of them chosen by {settings.selection.metric}" if count < len(inputs.pairs) else "")
    )

"""`daa plan`: what a search will take, before it takes it."""

import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.places import SettingsFile

if TYPE_CHECKING:
    from orchestrator.estimates.estimate import Work
    from orchestrator.settings import Settings


def plan(
    settings_file: SettingsFile,
    gpu: Annotated[str | None, typer.Option(help="The GPUs it will run on, such as H100. Default: the cluster's at RAY_ADDRESS.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Take three real steps, answer some prompts, and reckon with those.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where the run will write; its disk is looked at.")] = None,
) -> None:
    """Tell what a search will take: trials, memory, GPU-hours, judge calls, money, disk and wall time; refuse what cannot be.

    Example: daa plan jobs/examples/llama3_8b.toml --gpu H100
    """
    from orchestrator.settings_file import check_files, check_prompts, load_search_settings

    settings = load_search_settings(settings_file)
    check_files(settings)
    check_prompts(settings)
    from orchestrator.commands.orders import tell_keys
    from orchestrator.doctor.facts import disk_of
    from orchestrator.errors import SettingsError
    from orchestrator.estimates.estimate import estimated
    from orchestrator.estimates.memory import GIB
    from orchestrator.estimates.obstacles import obstacles
    from orchestrator.report import plans
    from orchestrator.report.terminal import show

    tell_keys(settings.json_ready())
    work = _planned(settings, gpu, measure)
    found = estimated(work)
    # Without --dir nobody knows the disk: a plan is often made elsewhere than the run.
    against = obstacles(work, found, disk_of("the run", str(directory)).free / GIB if directory is not None else None)
    if as_json:
        print(json.dumps(plans.as_json(work, found, against), indent=2))
    else:
        show(plans.plan_shown(work, found, against))
    if impossible := [each for each in against if each.is_certain]:
        first = impossible[0]
        raise SettingsError(first.what, first.where, first.cure)


def _planned(settings: "Settings", gpu: str | None, measure: bool) -> "Work":
    """What is known of the search, in its world."""
    from orchestrator.cluster.runs.planning import planned
    from orchestrator.cluster.surveying import gpu_of_cluster
    from orchestrator.output import screen_kept_from
    from orchestrator.policy.gpus import gpu_named
    from orchestrator.worlds import in_world

    kind = gpu_named(gpu) if gpu is not None else gpu_of_cluster()
    with tempfile.TemporaryDirectory(prefix="daa-plan-") as scratch:
        # Libraries have much to say while a world is made; its own lines go beside the figures.
        with os.fdopen(os.dup(2), "w", buffering=1) as beside, screen_kept_from(Path(scratch) / "world.log"):
            settings = in_world(settings, partial(print, file=beside))
        return planned(settings, kind, Path(scratch) if measure else None)

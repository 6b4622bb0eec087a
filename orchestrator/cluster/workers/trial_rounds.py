"""Trials of a search that are trained in rounds: their steps are shared out among the rounds, each on data of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import ray

from evals.prompts import save_prompts
from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.generating import Generation
from orchestrator.cluster.engines.workshop import Made, Scoring, Workshop
from orchestrator.cluster.judges import replies_directory
from orchestrator.cluster.session import HEAD, find_actor
from orchestrator.errors import DaaError, SettingsError
from orchestrator.output import send_output_to
from orchestrator.rounds.plan import boundaries, most_rounds, required_rounds, round_settings
from orchestrator.rounds.sampling import prompts_of
from orchestrator.run_files import RunFiles
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from orchestrator.training.inputs import read_sources
from orchestrator.training.tidying import step_directory

ROUNDS = "rounds"
GIVEN = "base"


@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1, max_task_retries=-1)
class RoundsActor:
    """Makes the data of trials' rounds, several at a time; the engines answer for it beside their evaluations."""

    def __init__(self, settings: Settings, directory: str, engines: Sequence[str], hub: str) -> None:
        self._directory, self._hub = Path(directory), hub
        logs = RunFiles(self._directory).logs
        send_output_to(logs / "rounds.log")
        rounds = required_rounds(settings)
        generation = Generation([find_actor(name) for name in engines], replies_directory(settings.cache))
        scoring = Scoring(rounds, settings.cache, logs)
        self._workshop = Workshop(rounds, settings.data, generation, scoring, print)

    def make(self, trial: str, number: int, model: str) -> Made:
        """The data of a trial's round by the answers of `model`; made once. Raises what the workshop raises."""
        place, before = (self._directory / ROUNDS / trial / f"round-{each:02d}" for each in (number, number - 1))
        known, past = Made.at(place), Made.at(before)
        made = known or self._workshop.make(model, number, place, past and past.pairs)
        if known is None:
            ask(find_actor(self._hub).note, "round", {"trial": trial, "number": number, **made.told})
        return made


def begin_rounds(settings: Settings, directory: Path, engines: Sequence[str], hub: str) -> tuple[Any, Settings]:
    """The actor that makes data, and the settings with the data of the first round. Raises SettingsError for what cannot be searched."""
    rounds, most = required_rounds(settings), most_rounds(settings)
    for where, is_so, cure in (
        ("cluster.turns", settings.cluster.turns, "give engines GPUs of their own"),
        ("search.scheduler", settings.search.takes_over, "choose another scheduler than pbt and pb2"),
        ("rounds.start", rounds.start == "base", 'set it to "previous": a trial goes on from round to round'),
        ("rounds.keep", rounds.keep == "given" and rounds.first == "generate", 'set it to "earlier", or rounds.first to "data"'),
        ("rounds.count", most > settings.training.checkpoints, f"rounds end at checkpoints: set training.checkpoints to {most} or more"),
        ("training.lora", settings.training.lora is not None, "train all weights"),
    ):
        if is_so:
            raise SettingsError("a search over rounds cannot be run with this", where, cure)
    if rounds.prompts is None:
        # A search that is resumed finds the first round's pairs in the place of the data, and not all of their prompts.
        prompts = directory / ROUNDS / "prompts.jsonl"
        prompts.parent.mkdir(parents=True, exist_ok=True)
        save_prompts(prompts, prompts_of(read_sources(settings.data).pairs))
        rounds = rounds.model_copy(update={"prompts": prompts})
        settings = settings.model_copy(update={"rounds": rounds})
    actor = RoundsActor.options(name=ROUNDS, max_concurrency=settings.cluster.gangs + 1).remote(
        settings, str(directory), list(engines), hub
    )
    if rounds.first == "data":
        return actor, settings
    made: Made = ask(actor.make, GIVEN, 1, settings.model.base)
    return actor, settings.model_copy(update={"data": settings.data.of_file(made.pairs)})


def runs_of(settings: Settings, trial: Trial, directory: Path, rank: int) -> Iterator[Any]:
    """What a worker trains of a trial, one round after another: each goes on from the checkpoint at which the one before ended."""
    from orchestrator.cluster.workers.training_workers import agree, training_run

    first = training_run(settings, trial, directory)
    rounds = trial.rounds_settings(settings.rounds)
    if rounds is None or rounds.count == 1:
        yield first
        return
    own = settings.model_copy(update={"rounds": rounds})
    ends = boundaries(first.settings.checkpoint_steps(first.kept), rounds.count)
    run = replace(first, until=ends[0])
    yield run
    models = [str(settings.model.base)]
    for number, (begin, end) in enumerate(pairwise(ends), 2):
        models.append(str(step_directory(first.directory, begin) / "model"))
        made: Made | DaaError = agree(_made(trial, number, models[-1]) if rank == 0 else None)
        if isinstance(made, DaaError):
            raise made
        before, run = run, training_run(round_settings(own, models, made.pairs), trial, directory)
        run = replace(run, until=end, compared_since=0 if run.compared_with == before.compared_with else begin)
        yield run


def _made(trial: Trial, number: int, model: str) -> Made | DaaError:
    """The data of a round, or why there are none: all ranks must hear of it."""
    try:
        return ask(find_actor(ROUNDS).make, trial.id, number, model)
    except DaaError as error:
        return error

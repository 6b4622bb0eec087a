"""The whole loop: warm actors, a world or the user's data, Tune, the winner on held-out prompts, the reports."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import ray
from rich.markup import escape

from evals.whole_files import save_json
from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.evaluation_actors import LedgerActor, start_judge
from orchestrator.cluster.engines.generating import engine_names, start_engines
from orchestrator.cluster.hub.hub import TrialHub
from orchestrator.cluster.hub.proxies import actor_name
from orchestrator.cluster.judges import within_budget
from orchestrator.cluster.placement import check_gpus, held_gpus, wait_for_gpus
from orchestrator.cluster.runs.capability_runs import suite_of
from orchestrator.cluster.runs.claims import check_inputs, inputs_told
from orchestrator.cluster.runs.directories import at_work
from orchestrator.cluster.runs.finals import play_finals, start_final_judge
from orchestrator.cluster.runs.leaving import is_left_before_it_began, reported_before_leaving, reports, tidy, unclaim
from orchestrator.cluster.runs.planning import expected
from orchestrator.cluster.session import ray_session
from orchestrator.cluster.tune.searchers import check_installed
from orchestrator.cluster.tune.tracking import check_trackers
from orchestrator.cluster.tune.tuning import tune_trials
from orchestrator.cluster.workers.preparing import checked_inputs, prepared, selected, tell_pairs
from orchestrator.cluster.workers.training_workers import Gang, GangsActor
from orchestrator.cluster.workers.trial_rounds import begin_rounds
from orchestrator.errors import ClusterError, UserError
from orchestrator.estimates.checking import EVENT as ESTIMATE
from orchestrator.figures import with_interval
from orchestrator.report import words
from orchestrator.report.files import write_reports
from orchestrator.report.narration import Narrator
from orchestrator.run_files import RunFiles
from orchestrator.search.allocation import uneven
from orchestrator.search.capability import capabilities
from orchestrator.search.grid import listed_samples, planned_trials, shares_of
from orchestrator.search.kept import read_kept
from orchestrator.search.leaderboard import Row, winner
from orchestrator.search.ledger import read_ledger
from orchestrator.search.origin import origin
from orchestrator.search.plan import SearchPlan, make_plan
from orchestrator.search.trial import shared_settings
from orchestrator.search.verdict import Answer, answer
from orchestrator.settings import Settings
from orchestrator.settings_file import check_search, check_settings
from orchestrator.worlds import in_world

HUB = "hub"
_LOOK_S = 0.5


@dataclass(frozen=True)
class Outcome:
    """What a search found: the leaderboard, and the answer, with the best trial on prompts that the search never used."""

    directory: Path
    rows: list[Row]
    answer: Answer | None


@dataclass(frozen=True)
class _Actors:
    """The hub, and the others, which live as long as somebody holds them."""

    hub: Any
    others: list[Any]


def search(settings: Settings, directory: Path) -> Outcome:
    """Run a search that writes to `directory`, which must not hold another one.

    Raises UserError for settings or data that cannot be used and MachineError for a cluster, a judge or a disk that fails; what was
    measured before stays in the ledger.
    """
    directory = directory.expanduser().resolve()
    if RunFiles(directory).ledger.exists() and not is_left_before_it_began(directory):
        raise UserError(
            "this directory already holds a search",
            str(directory),
            "continue it with `daa search --resume DIR`, or choose another --dir",
            code="DAA-0710",
        )
    check_search(settings)
    return _run(settings, directory)


def resume(directory: Path) -> Outcome:
    """Go on with a search whose driver ended, from its ledger and Tune's state."""
    directory = directory.expanduser().resolve()
    file = RunFiles(directory).settings
    if not file.is_file():
        raise UserError(
            "there is no search to resume: no settings.json",
            str(directory),
            "give the directory of a search that was started",
            code="DAA-0711",
        )
    return _run(check_settings(read_kept(file), str(file)), directory)


def _run(settings: Settings, directory: Path) -> Outcome:
    check_installed(settings.search)
    check_trackers(settings.search.trackers)
    with at_work(directory, is_search=True) as story:
        _announce(settings, story)
        story.say_path("everything goes to", directory)
        story.say_path("the libraries' own output goes to", RunFiles(directory).logs)
        # Given pairs that are only asked for their prompts are not trained on.
        if settings.world is None and not settings.data.streaming and (settings.rounds is None or settings.rounds.first == "data"):
            checked_inputs(settings, directory)
        if settings.finals.capability is not None:
            suite_of(settings.finals.capability)
        try:
            with ExitStack() as session:
                with story.waiting("starting Ray, and waiting for nodes" if settings.cluster.wait_s else "starting Ray"):
                    session.enter_context(ray_session(settings.cluster, directory))
                with reported_before_leaving(directory, story):
                    check_gpus(settings.cluster, story.say)
                    _search(settings, directory, story)
            tidy(directory, settings.cluster.max_attempts)
        finally:
            unclaim(directory)
            rows = reports(directory, story)
        return _conclude(rows, directory, story)


def _announce(settings: Settings, story: Narrator) -> None:
    search = settings.search
    story.say(f"search [bold]{settings.name}[/bold]: {search.trials} trials over {', '.join(search.arms)}")
    if search.allocation == "equal":
        listed = listed_samples(search, shared_settings(settings))
        if line := uneven(shares_of(search, listed), search.trials):
            story.say(line)


def _search(settings: Settings, directory: Path, story: Narrator) -> None:
    # Streamed while the whole cluster is free for it, and before a GPU waits for data that are refused.
    ready = prepared(settings, story, directory) if settings.data.streaming else None
    wait_for_gpus(settings, settings.cluster.first_gangs)
    begun = read_ledger(RunFiles(directory).ledger, "begin")
    actors = _start_actors(settings, directory, len(begun))
    settings = in_world(settings, story.say)
    if settings.rounds is not None:
        with story.waiting("making the first round's data"):
            rounds, settings = begin_rounds(settings, directory, engine_names(settings.cluster), HUB)
        actors.others.append(rounds)
    settings, inputs = ready or prepared(settings, story, directory)
    count = selected(settings, inputs)
    settings = _with_equal_steps(settings, count)
    told = inputs_told(settings, inputs.pairs, inputs.validation)
    if begun:
        check_inputs(begun[-1].get("inputs", {}), told, "a search", directory)
    save_json(RunFiles(directory).settings, settings.json_ready())
    tell_pairs(settings, inputs, count, story)
    plan = replace(_plan(settings, count), inputs=told)
    with story.waiting("warming up engines and judge; trials begin meanwhile"):
        ask(actors.hub.begin, settings, plan)
        if (estimate := expected(settings, inputs, plan)) is not None:
            ask(actors.hub.note, ESTIMATE, estimate.as_dict())
    planned = planned_trials(settings)
    with story.following(directory, planned), _base_measured_beside(actors.hub, story):
        tune_trials(settings, plan, HUB, directory)
    _check_scored(actors.hub, directory, story)
    if settings.evaluation.held_out is not None or settings.finals.capability is not None:
        actors.others.extend(start_final_judge(settings, directory, is_paid=True))
        with story.following(directory, planned):
            play_finals(settings, actors.hub, directory, story)
    ask(actors.hub.close)


def _check_scored(hub: Any, directory: Path, story: Narrator) -> None:
    """Wait for the verdicts that are on their way. Raises what ended the search, and ClusterError when no trial has a score."""
    fatal = ask(hub.fatal)
    if fatal is not None:
        raise fatal
    while not ask(hub.verdicts_are_in):
        pass
    if (reason := ask(hub.spent_out)) is not None:
        story.say(f"[yellow]{reason}[/yellow]: the search ends with what is known")
    if winner(write_reports(directory)) is None:
        raise ClusterError(
            "no trial was scored",
            str(RunFiles(directory).logs),
            "read the reasons in leaderboard.json and the logs, then resume",
            code="DAA-0610",
        )


def _with_equal_steps(settings: Settings, count: int) -> Settings:
    """Trials on different pairs take equally many steps, so that their checkpoints can be compared."""
    if settings.rounds is None and "selection" not in settings.search.space:
        return settings
    steps = settings.training.total_steps(count)
    return settings.model_copy(update={"training": settings.training.model_copy(update={"steps": steps})})


@contextmanager
def _base_measured_beside(hub: Any, story: Narrator) -> Iterator[None]:
    """Tell the base model's score when it is known, at the end at the latest; no longer when the search is left before."""
    is_left = Event()
    with ThreadPoolExecutor(1) as beside:
        base = beside.submit(_measure_base, hub, story, is_left)
        try:
            yield
            base.result()
        except BaseException:
            # The thread is waited for: one that asks Ray for something after it is left ends the process.
            is_left.set()
            raise


def _measure_base(hub: Any, story: Narrator, is_left: Event) -> None:
    asked = hub.baseline.remote()
    while not ray.wait([asked], timeout=_LOOK_S)[0]:
        if is_left.is_set():
            return
    card = ask(hub.baseline)["scorecard"]
    story.say(f"base model against itself: {with_interval(card)} on {card['judged']} prompts")


def _plan(settings: Settings, pairs: int) -> SearchPlan:
    from evals.prompts import load_prompts

    given = (settings.evaluation.prompts, settings.evaluation.held_out)
    counts = [len(load_prompts(file).prompts) if file is not None else 0 for file in given]
    plan, first = make_plan(settings, pairs, held_gpus(settings), *counts), settings.cluster.first_gangs
    return replace(plan, first_gangs=first, first_gpus=held_gpus(settings, first), origin=origin())


def _start_actors(settings: Settings, directory: Path, sessions: int) -> _Actors:
    """Start everything at once, after so many sessions: imports overlap with each other and with the making of the world."""
    cluster, files, logs = settings.cluster, RunFiles(directory), RunFiles(directory).logs
    rank = settings.training.lora.rank if settings.training.lora else 0
    engines = start_engines(cluster, settings.evaluation, logs, rank)
    within = within_budget(settings.judge, settings.budget, files.ledger)
    judges = [start_judge("judge", within, settings.cache, logs), *start_final_judge(settings, directory, is_paid=False)]
    judges += [start_judge(actor_name(name), model, settings.cache, logs) for name, model in settings.ladder.models.items()]
    ledger = LedgerActor.options(name="ledger").remote(str(files.ledger))
    hub = TrialHub.options(name=HUB).remote(str(directory), engine_names(cluster), "judge", "ledger", sessions)
    gangs: Any = GangsActor.options(max_concurrency=cluster.gangs).remote(str(directory))
    for number in range(cluster.gangs):
        gangs.run.remote(Gang(f"gang-{number}", HUB, str(directory), cluster))
    return _Actors(hub, [*engines, *judges, ledger, gangs])


def _conclude(rows: list[Row], directory: Path, story: Narrator) -> Outcome:
    events = read_ledger(RunFiles(directory).ledger)
    found = answer(events)
    story.table(rows, "Leaderboard: win rate against the base model's answers, at each trial's best checkpoint")
    if found is not None:
        story.say(f"winner: [bold]{found.best.trial}[/bold], {words.hyperparameters(found.best.hyperparameters)}")
        story.say_path("its checkpoint, for transformers and vLLM:", found.best.checkpoint)
        for sentence in [*words.verdict(found), *words.cut_short(events), *words.capability(capabilities(events))]:
            story.say(f"[bold]{escape(sentence)}[/bold]")
    story.say_path("report:", directory / "report.html")
    return Outcome(directory, rows, found)

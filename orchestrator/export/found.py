"""Which model of a run is meant, and what the run's own files tell of it. A run is a search, a training or rounds."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from orchestrator.errors import UserError
from orchestrator.figures import signed, span
from orchestrator.nearest import nearest
from orchestrator.report import words
from orchestrator.report.model_cards import Score, Trained
from orchestrator.rounds.plan import MERGED
from orchestrator.rounds.results import RoundResult, gains
from orchestrator.run_files import RunFiles
from orchestrator.search.budget import Meter, saved
from orchestrator.search.capability import capabilities
from orchestrator.search.kept import damaged_file, read_kept, read_kept_value
from orchestrator.search.leaderboard import BASE, Row, leaderboard
from orchestrator.search.ledger import Event, Events, read_ledger
from orchestrator.search.trial import trial_of
from orchestrator.search.verdict import Answer, Finalist, answer
from orchestrator.settings_file import check_settings
from orchestrator.training.records import TRAINED, training_of

BEST = "best"
SEARCHED, FRESH, SAME = "the search's prompts", "held-out prompts", "the rounds' prompts"


def find_trained(directory: Path, name: str) -> Trained:
    """The model that `name` means in a run's directory: `best`, a trial of a search, a round. Raises UserError where there is none."""
    directory = directory.expanduser().resolve()
    files = RunFiles(directory)
    if files.ledger.is_file():
        return _of_search(directory, name)
    if files.rounds.is_file():
        return _of_rounds(directory, name)
    told = {file.parent.name: file for file in sorted(directory.glob(f"checkpoints/*/{TRAINED}"))}
    if told:
        return _of_training(directory, {trial: read_kept(file, "settings", "trial", "versions") for trial, file in told.items()}, name)
    cure = "give the directory of `daa search`, `daa train` or `daa rounds`, when it has scored or trained something"
    raise UserError("there is no run to export from", str(directory), cure)


def _of_search(directory: Path, name: str) -> Trained:
    files = RunFiles(directory)
    settings = check_settings(read_kept(files.settings), str(files.settings))
    events = read_ledger(files.ledger)
    rows = {row.trial: row for row in leaderboard(events) if row.trial != BASE}
    said = answer(events)
    if name == BEST and said is None:
        raise UserError("no trial of this search is scored", str(directory), "go on with `daa search --resume`, then export")
    chosen = said.best.trial if name == BEST and said is not None else name
    if chosen not in rows:
        raise _unknown(name, rows, directory)
    row = rows[chosen]
    if row.checkpoint is None:
        why = f"{row.status}: {row.reason}" if row.reason else row.status
        raise UserError(f"{row.trial} has no checkpoint that was scored ({why})", str(directory), "choose a trial with a win rate")
    joined, score = events.of("trial", trial=chosen)[0], events.score_at(chosen, row.step)
    assert score is not None
    return Trained(
        name=chosen,
        command="search",
        model=_there(directory, row.checkpoint, chosen),
        settings=settings,
        trial=trial_of(joined),
        step=row.step,
        scores=_scores(events, score, trial_of(joined).training_settings(settings.training).seed, said),
        sentences=_sentences(events, row, said),
        training=score.get("training", {}),
        versions=next((event["versions"] for event in reversed(events) if "versions" in event), {}),
        took_over=(joined["parent"], joined["from_step"]) if "parent" in joined else None,
    )


def _scores(events: Events, score: Event, seed: int, said: Answer | None) -> list[Score]:
    """The finals' score over all seeds first, where the trial was in them; then that by which the search chose its checkpoint."""
    trial = score["trial"]
    fresh = events.of("held_out", trial=trial)
    found = [Score.of(SEARCHED, score["scorecard"], [seed])]
    finalist = _finalist(said, trial)
    if not fresh or finalist is None:
        return found
    over_all = {"win_rate": finalist.win_rate, "low": finalist.low, "high": finalist.high}
    lengths = [event["scorecard"]["mean_length"] for event in fresh]
    cut = [event["scorecard"].get("unfinished") for event in fresh]
    findings = [finding for event in fresh for finding in event["scorecard"].get("findings", ())]
    unreadable = sum(event["scorecard"]["unreadable"] for event in fresh)
    judged = {"judged": finalist.prompts, "unreadable": unreadable, "mean_length": fmean(lengths), "findings": findings}
    judged["unfinished"] = None if None in cut else fmean(cut)
    return [Score.of(FRESH, fresh[0]["scorecard"] | over_all | judged, [event["seed"] for event in fresh]), *found]


def _sentences(events: Events, row: Row, said: Answer | None) -> list[str]:
    """The search's answer, from the view of a trial."""
    if said is None:
        return []
    found, finalist = [], _finalist(said, row.trial)
    if row.trial != said.best.trial:
        found = [f"This is not the best trial of its search, which is {said.best.trial}."]
        if finalist is None or not said.is_fresh:
            found.append("It was chosen by no comparison on fresh prompts, so expect less of its win rate on others.")
    fresh = events.of("held_out", trial=row.trial)
    for event in fresh if len(fresh) > 1 else ():
        if event["run"] == row.trial:
            alone = Score.of(FRESH, event["scorecard"]).rate
            found.append(f"The weights are those of seed {event['seed']}, which alone wins {alone} % on the held-out prompts.")
    lost = words.capability([each for each in capabilities(events) if each.trial in {BASE, row.trial}])
    spent = words.economy(Meter(events).spent(events[-1]["time"]), saved(events))
    return [*found, *words.verdict(said), *words.cut_short(events), *lost, spent]


def _finalist(said: Answer | None, trial: str) -> Finalist | None:
    return next((each for each in said.finalists if each.trial == trial), None) if said else None


def _of_rounds(directory: Path, name: str) -> Trained:
    files = RunFiles(directory)
    written = read_kept(files.settings, "trial")
    told, versions = written.pop("trial"), written.pop("versions", {})
    settings = check_settings(written, str(files.settings))
    results = _results(files.rounds)
    named = {f"round-{result.number:02d}": result for result in results}
    if name != BEST and name not in named:
        raise _unknown(name, named, directory)
    best = max(named, key=lambda each: named[each].scorecard["win_rate"])
    chosen = best if name == BEST else name
    result, gain = named[chosen], dict(zip(named, gains(results), strict=True))[chosen]
    sentences = [f"This is round {result.number} of {len(results)}, of which {best} has the highest win rate on {SAME}."]
    if gain is not None:
        figures = f"{signed(gain.difference)} points (95 % {span(gain.low, gain.high)}; {words.p_value(gain.p)})"
        sentences.append(f"Over the round before it: {figures}.")
    if name == BEST and len(results) > 1:
        sentences.append("The round was chosen on these same prompts, so expect less of its win rate on others.")
    trial = trial_of({"trial": chosen, **told})
    model = _there(directory, result.model, chosen)
    checkpoint = _checkpoint(model)
    training = trial.training_settings(settings.training)
    scores = [Score.of(SAME, result.scorecard, [training.seed])]
    return Trained(chosen, "rounds", model, settings, trial, _step(checkpoint), scores, sentences, _told_at(checkpoint), versions)


def _results(file: Path) -> list[RoundResult]:
    try:
        results = [RoundResult(**result) for result in read_kept_value(file)]
    except TypeError as error:
        raise damaged_file(file, str(error)) from error
    if not results:
        raise damaged_file(file, "it holds no round")
    return results


def _of_training(directory: Path, told: Mapping[str, Any], name: str) -> Trained:
    if name == BEST and len(told) > 1:
        raise UserError("which of the trainings?", str(directory), f"nothing compared them, so name one: {', '.join(told)}")
    chosen = next(iter(told)) if name == BEST else name
    if chosen not in told:
        raise _unknown(name, told, directory)
    models = sorted(RunFiles(directory).trial(chosen).glob("step-*/model"))
    if not models:
        raise UserError(f"{chosen} has no checkpoint yet", str(directory), "let `daa train` reach one: the same command goes on")
    model, run = str(models[-1]), told[chosen]
    settings = check_settings(run["settings"], str(RunFiles(directory).trial(chosen) / TRAINED))
    trial, training = trial_of(run["trial"]), _told_at(model)
    return Trained(chosen, "train", model, settings, trial, _step(model), training=training, versions=run["versions"])


def _checkpoint(model: str) -> str:
    """The checkpoint that a round's model is, or that was merged into it."""
    place = Path(model)
    return str(max(place.parent.glob("checkpoints/*/step-*/model"), default=place)) if place.name == MERGED else model


def _told_at(model: str) -> dict[str, Any]:
    """What a run told of the step at which it left a model."""
    step, run = _step(model), Path(model).parents[1]
    return training_of(run, step) if step is not None else {}


def _step(model: str) -> int | None:
    """The step of a checkpoint, by its place."""
    number = Path(model).parent.name.removeprefix("step-")
    return int(number) if number.isdigit() else None


def _there(directory: Path, model: str, name: str) -> str:
    """Where a model lies: below `directory`, also when the run was moved or copied. Raises UserError when it is nowhere."""
    tail = [model[model.rindex(part) :] for part in ("checkpoints/", "round-") if part in model]
    # Where it was made, another run of the same name may lie by now.
    places = [*(directory / part for part in tail), Path(model)]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise UserError(f"the checkpoint of {name} is not there any more", model, "bring it back, or choose another trial")
    return str(found)


def _unknown(name: str, known: Iterable[str], directory: Path) -> UserError:
    known = list(known)
    close = nearest(name, [*known, BEST])
    return UserError(f"this run has no {name!r}", str(directory), f"{close}; it has: {', '.join(known) or 'none'}, or `{BEST}`")

"""One trial without a search, and one evaluation without training."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.event_loop import run_to_the_end
from evals.scorecard import Scorecard
from evals.whole_files import save_json
from orchestrator.cluster.engines.evaluation_actors import start_judge
from orchestrator.cluster.engines.generating import start_engines
from orchestrator.cluster.placement import check_gpus, of_answers
from orchestrator.cluster.runs.candidates import absolute, largest_rank
from orchestrator.cluster.runs.claims import check_claim, inputs_told
from orchestrator.cluster.runs.directories import at_work
from orchestrator.cluster.runs.scorecards import CARD, asked_of_search, check_scorecard
from orchestrator.cluster.runs.watching import watched
from orchestrator.cluster.session import ray_session
from orchestrator.cluster.workers.training_workers import Gang, last_model, train_run, trained_model, training_run
from orchestrator.errors import SettingsError
from orchestrator.figures import with_interval
from orchestrator.nearest import nearest
from orchestrator.objectives import make_objective, method_named
from orchestrator.run_files import RunFiles
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings, TrainingSettings
from orchestrator.settings_file import validated
from orchestrator.training.records import TRAINED
from orchestrator.versions import installed_versions

if TYPE_CHECKING:
    from orchestrator.cluster.hub.scoring import Scored


def chosen_trial(settings: Settings, words: Sequence[str]) -> Trial:
    """The trial of a command line `[METHOD] [name=value ...]`; what it does not say, the settings' `method` and `hyperparameters` say.

    Raises SettingsError when neither names a method.
    """
    named = bool(words) and "=" not in words[0]
    method = words[0] if named else settings.method
    if method is None:
        raise SettingsError("no method is named", "daa train", "daa train FILE METHOD, or set `method` in the file")
    given = settings.hyperparameters if method == settings.method else {}
    trial = parse_trial(method, words[1:] if named else words, settings.training, given)
    trial.training_settings(settings.training).check_workers(settings.cluster.workers)
    return trial


def parse_trial(method: str, assignments: Sequence[str], training: TrainingSettings, given: Mapping[str, Any] | None = None) -> Trial:
    """A trial from `name=value` words on top of `given` hyperparameters.

    Raises SettingsError for a name that neither the method nor the training settings have, and for a value that it may not have.
    """
    own = method_named(method)().hyperparameters()
    known = [*own, *type(training).model_fields]
    hyperparameters: dict[str, Any] = dict(given or {})
    settings: dict[str, Any] = {}
    words: list[str] = []
    for word in assignments:
        name, equals, value = word.partition("=")
        if not equals or name not in known:
            raise SettingsError(
                f"{word!r} is no hyperparameter of {method}", "the command line", f"{nearest(name, known)}; write name=value"
            )
        (hyperparameters if name in own else settings)[name] = _value(value)
        words += [] if name in own else [word]
    try:
        make_objective(method, hyperparameters)
    except OverflowError as error:
        raise SettingsError("a number is larger than what is computed with", "the command line", "give a smaller one") from error
    validated(TrainingSettings, training.model_dump() | settings, f"the command line, {' '.join(words)}")
    sample = {"method": method} | {f"{method}.{key}": value for key, value in hyperparameters.items()}
    return Trial.from_sample(1, sample | {f"training.{key}": value for key, value in settings.items()})


def train_one(settings: Settings, trial: Trial, directory: Path) -> Path:
    """Train one trial with Ray Train; returns the Hugging Face directory of its last checkpoint. Called again, it resumes.

    Raises UserError for a directory in which such a trial was trained with other settings.
    """
    directory = directory.expanduser().resolve()
    with at_work(directory) as story, ray_session(settings.cluster, directory):
        from orchestrator.cluster.workers.preparing import prepared, selected, tell_pairs
        from orchestrator.training.records import read_records, told

        check_gpus(settings.cluster, story.say, answers=False)
        story.say_path(f"training {trial.method}; everything goes to", directory)
        # One training has no rounds: its model's card shall not tell of any.
        alone = replace_methods(settings, trial).model_copy(update={"rounds": None})
        settings, inputs = prepared(alone, story, directory, is_judged=False)
        write_down(settings, trial, directory, inputs_told(settings, inputs.pairs, inputs.validation))
        tell_pairs(settings, inputs, selected(settings, inputs), story)
        model = train_model(settings, trial, directory)
        run = training_run(settings, trial, directory)
        story.say(told(read_records(run.directory)[-1], run.steps))
        story.say_path(f"trained {run.steps} steps; the model, for transformers and vLLM:", model)
        return model


def write_down(settings: Settings, trial: Trial, directory: Path, inputs: Mapping[str, str]) -> None:
    """Keep beside a trial's checkpoints what it is trained with, and by which libraries; where there are some, what is written stays.

    Raises UserError where they are of other settings, or of inputs that have changed.
    """
    file, given, told = RunFiles(directory).trial(trial.id) / TRAINED, settings.json_ready(), {"trial": trial.id, **trial.as_event()}
    sections = ("model", "data", "training", "selection", "trial")
    is_begun = any(file.parent.glob("step-*"))
    if not (is_begun and check_claim(file, {**given, "trial": told}, inputs, "a model", directory, sections)):
        save_json(file, {"settings": given, "trial": told, "inputs": inputs, "versions": installed_versions()})


def train_model(settings: Settings, trial: Trial, directory: Path) -> Path:
    """Train one trial on the joined cluster; returns the Hugging Face directory of its last checkpoint. Resumes, and keeps what is there.

    Raises ClusterError when training ended without it, and what refuses the data.
    """
    run = training_run(settings, trial, directory)
    if not last_model(run).is_dir():
        config = {"settings": settings, "trial": trial, "directory": str(directory)}
        with watched(run, directory):
            train_run(Gang("train", "", str(directory), settings.cluster), _work, config)
    return trained_model(run, directory)


def evaluate_one(settings: Settings, model: str, directory: Path) -> Scorecard:
    """Score a model against the settings' base model with one engine; returns the scorecard on the settings' prompts."""
    directory = directory.expanduser().resolve()
    settings.cluster.check_engines()
    alone = of_answers(settings.cluster).model_copy(update={"engines": 1})
    with at_work(directory) as story, ray_session(alone, directory):
        from orchestrator.cluster.workers.preparing import prepared

        check_gpus(alone, story.say, trains=False)
        story.say_path("evaluating", model)
        settings, _ = prepared(settings, story, directory)
        asked = asked_of_search(settings, model)
        check_scorecard(asked, directory)
        logs = RunFiles(directory).logs
        judge = start_judge("judge", settings.judge, settings.cache, logs)
        engines = start_engines(alone, settings.evaluation, logs, largest_rank([model]))
        card = score_model(settings, absolute(model), directory, RunFiles(directory).responses / "candidate.jsonl", engines, judge).card
        save_json(directory / CARD, {"model": model, "base": settings.model.base, **card.as_dict(), "asked": asked})
        story.say(f"win rate {with_interval(card.as_dict(), '95 % ')}, {card.judged} judged, {card.unreadable} unreadable")
        for finding in card.findings:
            story.say_path(f"[bold]guard {finding.guard}[/bold]:", finding.detail)
        return card


def score_model(settings: Settings, model: str, directory: Path, answers: Path, engines: list[Any], judge: Any) -> "Scored":
    """Score a model against the base model, whose own answers are kept in `directory`; the model's are written to `answers`."""
    from evals.prompts import load_prompts
    from orchestrator.cluster.hub.scoring import Scorer

    async def scored() -> "Scored":
        assert settings.model.base is not None and settings.evaluation.prompts is not None
        scorer = Scorer(settings.model.base, settings.evaluation, RunFiles(directory))
        scorer.use(engines, judge)
        return await scorer.score(model, load_prompts(settings.evaluation.prompts))

    found = run_to_the_end(scored())
    found.save(answers)
    return found


def replace_methods(settings: Settings, trial: Trial) -> Settings:
    """The same settings with this trial's method as the only one."""
    return settings.model_copy(update={"search": settings.search.model_copy(update={"methods": (trial.method,), "space": {}})})


def _work(config: dict[str, Any]) -> None:
    """What every worker does."""
    from orchestrator.cluster.workers.training_workers import engine_for, warm_up
    from orchestrator.training.loop import train

    warm_up(config["directory"], "train")
    run = training_run(config["settings"], config["trial"], Path(config["directory"]))
    engine = engine_for(run)
    train(run, engine, lambda checkpoint: True)
    engine.close()


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text

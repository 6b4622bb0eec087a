"""Rounds, one after another: a round's data from the engines, its training by the workers, its score from engines and judge."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from evals.whole_files import save_json
from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.evaluation_actors import start_judge
from orchestrator.cluster.engines.generating import Generation, start_engines
from orchestrator.cluster.engines.workshop import Made, Scoring, Workshop
from orchestrator.cluster.judges import replies_directory
from orchestrator.cluster.placement import check_gpus, started_for_rounds, wait_for_gpus
from orchestrator.cluster.runs.claims import check_claim, inputs_told
from orchestrator.cluster.runs.directories import at_work
from orchestrator.cluster.runs.single_runs import replace_methods, score_model, train_model
from orchestrator.cluster.session import ray_session
from orchestrator.figures import signed, span, with_interval
from orchestrator.policy.merging import merge_adapters
from orchestrator.report.narration import Narrator
from orchestrator.rounds.plan import MERGED, merges_adapters, required_rounds, round_settings
from orchestrator.rounds.results import RoundResult, gains, table
from orchestrator.run_files import RunFiles
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from orchestrator.versions import installed_versions
from orchestrator.worlds import in_world

PAGE = "rounds.md"


def play_rounds(settings: Settings, trial: Trial, directory: Path) -> list[RoundResult]:
    """Train `trial` in rounds, in `directory`. Called again, it goes on after anything that ended it; nothing that is there is made again.

    Raises UserError for a directory that holds rounds of other settings, and what training, engines, scorers and judge raise.
    """
    directory = directory.expanduser().resolve()
    rounds = required_rounds(settings)
    settings.cluster.check_engines()
    with at_work(directory) as story, ray_session(settings.cluster, directory):
        from orchestrator.cluster.workers.preparing import prepared

        check_gpus(settings.cluster, story.say)
        wait_for_gpus(started_for_rounds(settings), gangs=1)
        _claim(settings, trial, directory, {})
        story.say_path(f"{rounds.count} rounds of {trial.method}; everything goes to", directory)
        given, settings = settings, in_world(replace_methods(settings, trial), story.say)
        pairs: list[Any] = []
        if rounds.first == "data":
            settings, inputs = prepared(settings, story, directory)
            pairs = [inputs.pairs, inputs.validation]
        _claim(given, trial, directory, inputs_told(settings, *pairs))
        played = _Rounds(settings, trial, directory, story)
        results: list[RoundResult] = []
        for number in range(1, rounds.count + 1):
            results.append(played.play(number, results))
            _write(directory, results)
        story.say_path("the rounds:", directory / PAGE)
        return results


class _Rounds:
    """Plays one round at a time with warm engines."""

    def __init__(self, settings: Settings, trial: Trial, directory: Path, story: Narrator) -> None:
        self._settings, self._trial, self._directory, self._story = settings, trial, directory, story
        self._rounds = required_rounds(settings)
        logs, replies = RunFiles(directory).logs, replies_directory(settings.cache)
        engines = start_engines(settings.cluster, settings.evaluation, logs)
        scorers = Scoring(self._rounds, settings.cache, logs)
        self._workshop = Workshop(self._rounds, settings.data, Generation(engines, replies), scorers, story.say)
        self._judge = start_judge("judge", settings.judge, settings.cache, logs)
        self._engines = engines

    def play(self, number: int, before: Sequence[RoundResult]) -> RoundResult:
        """The result of a round, from its files where they are there."""
        place = self._directory / f"round-{number:02d}"
        base = str(self._settings.model.base)
        models = [base, *(result.model for result in before)]
        made = self._data(number, models, place)
        own = round_settings(self._settings, models, made and made.pairs)
        model = str(self._whole(train_model(own, self._trial, place), place))
        result = RoundResult(number, model, *self._score(model, place), made.told if made else {})
        card = result.scorecard
        self._story.say(f"round {number}: win rate {with_interval(card)}, {card['judged']} judged")
        if (gain := gains([*before[-1:], result])[-1]) is not None:
            self._story.say(f"round {number}: {signed(gain.difference)} points over the round before ({span(gain.low, gain.high)})")
        return result

    def _whole(self, model: Path, place: Path) -> Path:
        """The round's model as later rounds load it. Merging has a process of its own, whose memory goes with it."""
        if not merges_adapters(self._settings):
            return model
        whole = place / MERGED
        ask(ray.remote(num_cpus=0)(merge_adapters), model, whole, self._settings.training.dtype)
        return whole

    def _data(self, number: int, models: Sequence[str], place: Path) -> Made | None:
        """The round's own data; None for a first round on the given pairs."""
        if number == 1 and self._rounds.first == "data":
            return None
        before = Made.at(self._directory / f"round-{number - 1:02d}")
        return self._workshop.make(models[-1], number, place, before and before.pairs)

    def _score(self, model: str, place: Path) -> tuple[dict[str, Any], dict[str, float | None]]:
        """The scorecard and the verdicts by prompt."""
        file = place / "score.json"
        if not file.is_file():
            scored = score_model(self._settings, model, self._directory, place / "answers.jsonl", self._engines, self._judge)
            save_json(file, scored.numbers())
        found = json.loads(file.read_text(encoding="utf-8"))
        return found["scorecard"], found["verdicts"]


def _claim(settings: Settings, trial: Trial, directory: Path, inputs: Mapping[str, str]) -> None:
    """Write down what is played here, and of which `inputs` as soon as they are known. Raises UserError when it is something else."""
    file, told = RunFiles(directory).settings, {**settings.json_ready(), "trial": trial.as_event()}
    written = check_claim(file, told, inputs, "rounds", directory)
    versions = written.get("versions") or installed_versions()
    save_json(file, told | {"versions": versions, "inputs": inputs or written.get("inputs", {})})


def _write(directory: Path, results: Sequence[RoundResult]) -> None:
    save_json(RunFiles(directory).rounds, [result.as_dict() for result in results])
    (directory / PAGE).write_text(table(results), encoding="utf-8")

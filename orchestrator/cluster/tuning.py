"""Ray Tune: ranges become a search space, scores become results, and a stopped trial is told to the hub."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from orchestrator.cluster.asking import ask
from orchestrator.cluster.session import find_actor
from orchestrator.distributions import Choice, Distribution, LogUniform
from orchestrator.report.narration import narrator
from orchestrator.search.board import Status
from orchestrator.search.goal import Goal
from orchestrator.search.trial import TRAINING, Space, Trial, joint_space, published_samples
from orchestrator.settings import SearchSettings, Settings

NUMBER = "number"


class MethodSearch(OptunaSearch):
    """Optuna over methods and their hyperparameters. Trials get numbers, and those stopped early are told to Optuna as pruned.

    Told as complete, an early value would pass for a final one and mislead the sampler.
    """

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next sample, numbered."""
        sample = super().suggest(trial_id)
        if sample is None or sample == "FINISHED":
            return sample
        self._suggested = getattr(self, "_suggested", 0) + 1
        return {NUMBER: self._suggested, **sample}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how the trial ended."""
        stopped_early = result is not None and result.get("step", 0) < result.get("steps", 0)
        super().on_trial_complete(trial_id, None if stopped_early else result, error)


def make_searcher(settings: Settings, goal: Goal) -> MethodSearch:
    """Published defaults first, then Optuna's proposals."""
    search = settings.search
    space = joint_space(search)
    sampler = (
        optuna.samplers.RandomSampler(seed=search.seed)
        if search.searcher == "random"
        else optuna.samplers.TPESampler(seed=search.seed, multivariate=True, group=True, n_startup_trials=len(search.methods))
    )
    return MethodSearch(
        space=_Proposal(tuple(search.methods), space),
        metric=goal.metric,
        mode=goal.mode,
        sampler=sampler,
        points_to_evaluate=published_samples(search.methods, space, settings.training)[: search.trials],
    )


class _Proposal:
    """The conditional space as Optuna asks for it: the method first, then only what that method has."""

    def __init__(self, methods: tuple[str, ...], space: Space) -> None:
        self._methods, self._space = methods, space

    def __call__(self, trial: optuna.Trial) -> None:
        method = trial.suggest_categorical("method", self._methods)
        for owner in (method, TRAINING):
            for key, distribution in self._space.get(owner, {}).items():
                _suggest(trial, f"{owner}.{key}", distribution)


def make_scheduler(search: SearchSettings, steps: list[int], goal: Goal) -> TrialScheduler:
    """ASHA over the checkpoints' steps, or none."""
    if search.scheduler == "none" or len(steps) < 2:
        return FIFOScheduler()
    return AsyncHyperBandScheduler(
        time_attr="step",
        metric=goal.metric,
        mode=goal.mode,
        grace_period=steps[0],
        max_t=steps[-1],
        reduction_factor=search.reduction_factor,
    )


class HubCallback(tune.Callback):
    """Tells the hub and the screen what Tune decided. It is pickled with Tune's state, so it holds names only."""

    def __init__(self, hub: str) -> None:
        self._hub = hub

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune started to follow a trial."""
        narrator().trial_started(_trial(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any) -> None:
        """A score arrived."""
        if "win_rate" in result:
            narrator().scored(_trial(trial), result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune is done with a trial: its workers are free for the next one."""
        result = trial.last_result or {}
        is_complete = "step" in result and result["step"] == result["steps"]
        end = ask(find_actor(self._hub).stop, _trial(trial).id, Status.COMPLETED if is_complete else Status.STOPPED)
        narrator().trial_ended(_trial(trial), end, result.get("step", 0))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Following a trial failed: the search is about to end."""
        narrator().trial_ended(_trial(trial), "no longer followed", (trial.last_result or {}).get("step", 0))


def follow_trial(sample: dict[str, Any], hub: str) -> None:
    """The Tune trainable: submit the trial to the hub and report its scores as they come."""
    trial = _from_sample(sample)
    actor = find_actor(hub)
    ask(actor.submit, trial)
    step = 0
    while True:
        news = ask(actor.next_score, trial.id, step)
        if news.score is not None:
            step = news.score["step"]
            card = news.score["scorecard"]
            numbers = {key: card[key] for key in ("win_rate", "low", "high", "mean_length")}
            told = {key: news.score.get("training", {}).get(key, "") for key in ("health", "cure")}
            tune.report({**numbers, **told, "step": step, "steps": sample["steps"]})
        elif news.over:
            return


def tune_trials(settings: Settings, steps: list[int], hub: str, directory: Path) -> None:
    """Search until all trials are over; takes up an interrupted search from Tune's state in `directory`."""
    goal = Goal()
    state = directory / "tune"
    trainable = tune.with_resources(tune.with_parameters(_following(hub, steps[-1])), {"CPU": 0.01})
    if tune.Tuner.can_restore(str(state)):
        tuner = tune.Tuner.restore(str(state), trainable, resume_unfinished=True, restart_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                num_samples=settings.search.trials,
                search_alg=make_searcher(settings, goal),
                scheduler=make_scheduler(settings.search, steps, goal),
                max_concurrent_trials=settings.cluster.gangs + settings.cluster.engines,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(directory),
                callbacks=[HubCallback(hub)],
                failure_config=tune.FailureConfig(fail_fast=True),
                verbose=0,
            ),
        )
    tuner.fit()


def _following(hub: str, steps: int) -> Callable[[dict[str, Any]], None]:
    def trainable(sample: dict[str, Any]) -> None:
        follow_trial({**sample, "steps": steps}, hub)

    return trainable


def _suggest(trial: optuna.Trial, name: str, distribution: Distribution) -> None:
    if isinstance(distribution, Choice):
        trial.suggest_categorical(name, list(distribution.options))
    else:
        trial.suggest_float(name, distribution.low, distribution.high, log=isinstance(distribution, LogUniform))


def _from_sample(sample: Mapping[str, Any]) -> Trial:
    return Trial.from_sample(sample[NUMBER], {key: value for key, value in sample.items() if key not in {NUMBER, "steps"}})


def _trial(tune_trial: Any) -> Trial:
    return _from_sample(tune_trial.config)

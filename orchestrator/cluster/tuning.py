"""Ray Tune: samples become trials, scores become results, and a stopped trial is told to the hub."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from orchestrator.cluster.asking import ask
from orchestrator.cluster.placement import waiting_places
from orchestrator.cluster.searchers import NUMBER, make_searcher
from orchestrator.cluster.session import find_actor
from orchestrator.report.narration import narrator
from orchestrator.search.board import Status
from orchestrator.search.goal import Goal, asked
from orchestrator.search.ledger import Event
from orchestrator.search.plan import SearchPlan, race_rules
from orchestrator.search.racing import Race, Rules, Rung
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings

# What waits for a place at two looks is told: within a minute.
_LOOKS_EVERY_S = 20.0


class RacingScheduler(FIFOScheduler):
    """The race, as Tune asks for it: after every score, whether the trial goes on. Why not is told to the hub."""

    def __init__(self, rules: Rules, hub: str) -> None:
        super().__init__()
        self._race, self._hub = Race(rules), hub

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A trial was scored at a rung."""
        rung = Rung(result["checkpoint"], result["prompts"])
        decision = self._race.add(_trial(trial).id, rung, result["verdicts"])
        if decision.goes_on:
            return TrialScheduler.CONTINUE
        grounds = {"against": decision.against, "checkpoint_number": rung.checkpoint, "prompts": rung.prompts}
        ask(find_actor(self._hub).stop, _trial(trial).id, Status.STOPPED, decision.reason, grounds)
        return TrialScheduler.STOP


def make_scheduler(settings: Settings, plan: SearchPlan, hub: str, goal: Goal) -> TrialScheduler:
    """The scheduler that the settings name; time is counted in checkpoints, which every trial has equally many of."""
    search, last = settings.search, plan.rungs[-1].checkpoint
    objective: dict[str, Any] = {"time_attr": "checkpoint", "metric": goal.metric, "mode": goal.mode}
    match search.scheduler:
        case "racing":
            return RacingScheduler(race_rules(settings, plan), hub)
        case "asha" if last > 1:
            return AsyncHyperBandScheduler(**objective, grace_period=1, max_t=last, reduction_factor=search.reduction_factor)
        case "median":
            return MedianStoppingRule(**objective, grace_period=1, min_samples_required=3)
        case _:
            return FIFOScheduler()


class HubCallback(tune.Callback):
    """Tells the hub and the screen what Tune decided. It is pickled with Tune's state, so it holds names only."""

    def __init__(self, hub: str) -> None:
        self._hub = hub
        self._looked = time.monotonic()
        self._waiting: str | None = None
        self._told: str | None = None

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune asks all the time; now and then, what waits for a place in the cluster is told."""
        if time.monotonic() - self._looked > _LOOKS_EVERY_S:
            self._looked = time.monotonic()
            waiting = waiting_places()
            # A group that is being placed waits for a moment, too.
            if waiting is not None and waiting == self._waiting != self._told:
                narrator().say(f"[yellow]waiting for a place in the cluster[/yellow]: {waiting}")
                self._told = waiting
            self._waiting = waiting

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
        is_complete = "checkpoint" in result and result["checkpoint"] == result["checkpoints"]
        end = ask(find_actor(self._hub).stop, _trial(trial).id, Status.COMPLETED if is_complete else Status.STOPPED)
        narrator().trial_ended(_trial(trial), end, result.get("step", 0))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Following a trial failed: the search is about to end."""
        narrator().trial_ended(_trial(trial), "no longer followed", (trial.last_result or {}).get("step", 0))


class BudgetStopper(tune.Stopper):
    """Ends the search when the hub says that a budget is used up."""

    def __init__(self, hub: str) -> None:
        self._hub, self._asked, self._is_spent = hub, 0.0, False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Asked by Tune all the time, and by this the hub once a second."""
        if time.monotonic() - self._asked > 1:
            self._asked = time.monotonic()
            self._is_spent = ask(find_actor(self._hub).spent_out) is not None
        return self._is_spent


def follow_trial(sample: dict[str, Any], hub: str) -> None:
    """The Tune trainable: submit the trial to the hub and report its scores as they come."""
    trial = _from_sample(sample)
    actor = find_actor(hub)
    ask(actor.submit, trial)
    step, prompts = 0, 0
    while True:
        news = ask(actor.next_score, trial.id, step, prompts)
        if news.score is not None:
            step, prompts = news.score["step"], asked(news.score)
            tune.report({**_told(news.score), "checkpoint": news.checkpoint, "checkpoints": sample["checkpoints"]})
        elif news.over:
            return


def _told(score: Event) -> dict[str, Any]:
    """What Tune, its searchers and schedulers hear of a score."""
    card, training = score["scorecard"], score.get("training", {})
    numbers = {key: card[key] for key in ("win_rate", "low", "high", "mean_length")}
    health = {key: training.get(key, "") for key in ("health", "cure")}
    where = {"step": score["step"], "prompts": asked(score), "whole": score.get("whole", True)}
    return {**numbers, **health, **where, "verdicts": list(score["verdicts"].values())}


def tune_trials(settings: Settings, plan: SearchPlan, hub: str, directory: Path) -> None:
    """Search until all trials are over or a budget is; takes up an interrupted search from Tune's state in `directory`."""
    goal = Goal()
    state = directory / "tune"
    trainable = tune.with_resources(tune.with_parameters(_following(hub, plan.rungs[-1].checkpoint)), {"CPU": 0.01})
    if tune.Tuner.can_restore(str(state)):
        tuner = tune.Tuner.restore(str(state), trainable, resume_unfinished=True, restart_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                num_samples=settings.search.trials,
                search_alg=make_searcher(settings, goal),
                scheduler=make_scheduler(settings, plan, hub, goal),
                max_concurrent_trials=settings.cluster.gangs + settings.cluster.engines,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(directory),
                stop=BudgetStopper(hub),
                callbacks=[HubCallback(hub)],
                failure_config=tune.FailureConfig(fail_fast=True),
                verbose=0,
            ),
        )
    tuner.fit()


def _following(hub: str, checkpoints: int) -> Callable[[dict[str, Any]], None]:
    def trainable(sample: dict[str, Any]) -> None:
        follow_trial({**sample, "checkpoints": checkpoints}, hub)

    return trainable


def _from_sample(sample: Mapping[str, Any]) -> Trial:
    return Trial.from_sample(sample[NUMBER], {key: value for key, value in sample.items() if key not in {NUMBER, "checkpoints"}})


def _trial(tune_trial: Any) -> Trial:
    return _from_sample(tune_trial.config)

"""Ray Tune's schedulers: after every score, whether a trial goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, HyperBandScheduler, MedianStoppingRule, TrialScheduler

from orchestrator.cluster.asking import ask
from orchestrator.cluster.session import find_actor
from orchestrator.cluster.tune.following import trial_in
from orchestrator.search.board import Status
from orchestrator.search.goal import METRIC, MODE
from orchestrator.search.ledger import read_ledger
from orchestrator.search.plan import SearchPlan, race_rules
from orchestrator.search.racing import Decision, Race, Rules, Rung, Scores, mean_of
from orchestrator.search.replay import scores_before
from orchestrator.settings import Settings

_Made = TypeVar("_Made")


class RacingScheduler(FIFOScheduler):
    """The race, as Tune asks for it: after every score, whether the trial goes on. Why not is told to the hub."""

    def __init__(self, rules: Rules, hub: str, ledger: Path) -> None:
        super().__init__()
        self._race, self._hub, self._ledger = Race(rules), hub, ledger
        self._decided: dict[tuple[str, Rung], Decision] | None = None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A trial was scored at a rung."""
        if self._decided is None:
            self._decided = _decided_before(self._ledger, self._race.add, lambda decision: decision.goes_on)
        name, rung = trial_in(trial.config).id, Rung(result["checkpoint"], result["prompts"])
        decision = self._decided.get((name, rung)) or self._race.add(name, rung, result["verdicts"])
        if decision.goes_on:
            return TrialScheduler.CONTINUE
        grounds = {"against": decision.against, "checkpoint_number": rung.checkpoint, "prompts": rung.prompts}
        ask(find_actor(self._hub).stop, name, Status.STOPPED, decision.reason, grounds)
        return TrialScheduler.STOP


class _Recalling(TrialScheduler):
    """A scheduler that compares each score with those before it. What it was told in earlier sessions it is told again, from the ledger.

    Trials have the names that the ledger has; a score that Tune reports anew is decided as it was then.
    """

    def __init__(self, ledger: Path, **how: Any) -> None:
        super().__init__(**how)
        self._ledger = ledger
        self._decided: dict[tuple[str, Rung], str] | None = None

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial joined, perhaps not for the first time."""
        super().on_trial_add(tune_controller, _Named.of(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A trial was scored."""
        if self._decided is None:

            def again(name: str, rung: Rung, scores: Scores) -> str:
                known: Any = _Named(name)
                super(_Recalling, self).on_trial_add(tune_controller, known)
                told = {"checkpoint": rung.checkpoint, METRIC: 100 * (mean_of(scores, rung.prompts) or 0.0)}
                return super(_Recalling, self).on_trial_result(tune_controller, known, told)

            self._decided = _decided_before(self._ledger, again, lambda action: action != TrialScheduler.STOP)
        own = _Named.of(trial)
        then = self._decided.get((own.trial_id, Rung(result["checkpoint"], result["prompts"])))
        if then is None:
            return super().on_trial_result(tune_controller, own, result)
        return TrialScheduler.STOP if then == TrialScheduler.STOP else TrialScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial is over."""
        super().on_trial_complete(tune_controller, _Named.of(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial is gone."""
        super().on_trial_remove(tune_controller, _Named.of(trial))


@dataclass(frozen=True)
class _Named:
    """A trial, as far as these schedulers look at it."""

    trial_id: str

    @staticmethod
    def of(trial: Any) -> Any:
        """Of a trial of Tune's."""
        return _Named(trial_in(trial.config).id)


class RecallingAsha(_Recalling, AsyncHyperBandScheduler):
    """Tune's ASHA, which a restored search begins without a memory: two trials under way would be compared with each other alone."""


class RecallingMedian(_Recalling, MedianStoppingRule):
    """Tune's median stopping, which a restored search begins without a memory."""


def _decided_before(
    ledger: Path, decide: Callable[[str, Rung, Scores], _Made], goes_on: Callable[[_Made], bool]
) -> dict[tuple[str, Rung], _Made]:
    """Tune restores a scheduler as it was when the search began. What it was told in earlier sessions is in the ledger: tell it again.

    Verdicts that were on their way when their trial was stopped were never told.
    """
    decided: dict[tuple[str, Rung], _Made] = {}
    stopped: set[str] = set()
    for name, rung, scores in scores_before(read_ledger(ledger, "begin", "checkpoint", "score")):
        if name not in stopped:
            decided[name, rung] = decide(name, rung, scores)
            stopped |= set() if goes_on(decided[name, rung]) else {name}
    return decided


class PausingHyperBand(HyperBandScheduler):
    """Tune's HyperBand, whose brackets are also halved when the last trial that they wait for ends: Tune does so only the first time.

    The trials that are left after a bracket's last halving train to their end. A restored search adds all of its trials again; those that
    are finished join no bracket, which would wait for them.
    """

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial joins the bracket that is being filled."""
        if not trial.is_finished():
            super().on_trial_add(tune_controller, trial)

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        action = super()._process_bracket(tune_controller, bracket)
        bracket.is_being_processed = False
        # Trials of a restored search may all be beyond the next halving, too: nobody would be left who waits for it.
        if bracket._halves and bracket.current_trials() and bracket.cur_iter_done():
            later = self._process_bracket(tune_controller, bracket)
            return action if action == TrialScheduler.STOP else later
        return action


def make_scheduler(settings: Settings, plan: SearchPlan, hub: str, ledger: Path) -> TrialScheduler:
    """The scheduler that the settings name; time is counted in checkpoints, which every trial has equally many of."""
    search, last = settings.search, plan.rungs[-1].checkpoint
    objective: dict[str, Any] = {"time_attr": "checkpoint", "metric": METRIC, "mode": MODE}
    match search.scheduler:
        case "racing":
            return RacingScheduler(race_rules(settings, plan), hub, ledger)
        case "asha" if last > 1:
            return RecallingAsha(ledger, **objective, grace_period=1, max_t=last, reduction_factor=search.reduction_factor)
        case "hyperband" if last > 1:
            return PausingHyperBand(**objective, max_t=last, reduction_factor=search.reduction_factor, stop_last_trials=False)
        case "pbt" | "pb2" if last > 1:
            from orchestrator.cluster.tune.populations import make_populations

            return make_populations(search, hub, ledger)
        case "median":
            return RecallingMedian(ledger, **objective, grace_period=1, min_samples_required=3)
        case _:
            return FIFOScheduler()

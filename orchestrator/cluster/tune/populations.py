"""Population-based training over the runs of a search: within each method, the weak go on from where the strong are."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pb2 import PB2

from orchestrator.cluster.asking import ask
from orchestrator.cluster.session import find_actor
from orchestrator.cluster.tune.following import trial_in
from orchestrator.distributions import Choice, LogUniform, Uniform
from orchestrator.report.narration import narrator
from orchestrator.search.goal import METRIC, MODE
from orchestrator.search.ledger import read_ledger
from orchestrator.search.replay import scored_before
from orchestrator.search.trial import NUMBER, SHARED, TRAINING, Origin, joint_space, ranges_of
from orchestrator.settings import SearchSettings

Continuous = Mapping[str, Uniform | LogUniform]

# Tune refuses populations whose trials a searcher proposes, as it would learn from scores of changed hyperparameters. Ours does not.
_WITHOUT_SEARCHER: Any = SimpleNamespace(search_alg=None)


class PopulationScheduler(FIFOScheduler):
    """A population for each method. Where there are more trials than places, those that are behind come first.

    A resumed search is told each trial's last score again, one after another: then nobody gives way to the few that were told before.
    """

    def __init__(self, populations: "Mapping[str, _TakesOver]", ledger: Path) -> None:
        """A method without a population has nothing that could be changed; its trials train to their end."""
        super().__init__()
        self._populations, self._ledger = dict(populations), ledger
        self._before: set[tuple[str, int]] | None = None

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial joins the population of its method."""
        if (population := self._of(trial)) is not None:
            population.on_trial_add(_WITHOUT_SEARCHER, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A checkpoint was scored. After the last one nothing is left to train, here or from here."""
        population = self._of(trial)
        if population is None or result["checkpoint"] >= result["checkpoints"]:
            return TrialScheduler.CONTINUE
        if self._before is None:
            self._before = scored_before(read_ledger(self._ledger, "begin", "score"))
        population.is_told_again = (result["run"], result["step"]) in self._before
        return population.on_trial_result(tune_controller, trial, result)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Of those that wait, the one that has trained least."""
        waiting = [trial for trial in tune_controller.get_trials() if trial.status in {"PENDING", "PAUSED"}]
        return min(waiting, key=self._trained, default=None)

    def _of(self, trial: Any) -> "_TakesOver | None":
        return self._populations.get(trial.config["method"])

    def _trained(self, trial: Any) -> float:
        population = self._of(trial)
        return population._trial_state[trial].last_train_time if population else 0


class _TakesOver(PopulationBasedTraining):
    """What pbt and pb2 share: a trial that exploits another ends its run, and a run of the next generation begins at the other's.

    The hub is asked first: when the other's training is gone, as it is when a run has ended, the trial goes on as it is. Every trial can
    be taken up where it last was scored; Tune would have only those that were among the best by then, of the few that were there first.
    """

    hub: str
    ranges: Continuous
    is_told_again: bool = False

    def _checkpoint_or_exploit(self, trial: Any, tune_controller: Any, upper_quantile: Any, lower_quantile: Any) -> None:
        for strong in upper_quantile:
            state = self._trial_state[strong]
            state.last_checkpoint = state.last_checkpoint or strong.checkpoint
        super()._checkpoint_or_exploit(trial, tune_controller, upper_quantile, lower_quantile)

    def _exploit(self, tune_controller: Any, trial: Any, trial_to_clone: Any) -> None:
        if self.is_told_again:
            return
        sample, operations = super()._get_new_config(trial, trial_to_clone)
        donor_state: Any = self._trial_state[trial_to_clone]
        step = donor_state.last_result["step"]
        before, donor = trial_in(trial.config), trial_in(trial_to_clone.config)
        generation = (origin.generation if (origin := Origin.of(trial.config)) else 1) + 1
        origin = Origin(donor.id, step, generation)
        within = {key: given.nearest(sample[key]) for key, given in self.ranges.items()}
        self._chosen = {**sample, **within, NUMBER: trial.config[NUMBER], **origin.as_sample()}, operations
        after = trial_in(self._chosen[0])
        if ask(find_actor(self.hub).take_over, after, origin, before.id):
            narrator().trial_ended(before, f"gives way to {after.id}, from {donor.id}", origin.step)
            super()._exploit(tune_controller, trial, trial_to_clone)

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> Any:
        return self._chosen


class _Pbt(_TakesOver):
    """Population Based Training (Jaderberg et al. 2017, arXiv:1711.09846)."""

    def __init__(self, ranges: Continuous, hub: str, given: Mapping[str, Any]) -> None:
        self.ranges, self.hub = ranges, hub
        domains: dict[str, Any] = {
            key: (tune.loguniform if isinstance(range_, LogUniform) else tune.uniform)(range_.low, range_.high)
            for key, range_ in ranges.items()
        }
        super().__init__(hyperparam_mutations=domains, **given)


class _Pb2(_TakesOver, PB2):
    """Population Based Bandits (Parker-Holder, Nguyen & Roberts 2020, arXiv:2002.02518). Tune's models take every range as linear."""

    def __init__(self, ranges: Continuous, hub: str, given: Mapping[str, Any]) -> None:
        self.ranges, self.hub = ranges, hub
        PB2.__init__(self, hyperparam_bounds={key: [given_.low, given_.high] for key, given_ in ranges.items()}, **given)


def make_populations(search: SearchSettings, hub: str, ledger: Path) -> PopulationScheduler:
    """The settings' population for each method that has anything to change."""
    given = {"time_attr": "checkpoint", "metric": METRIC, "mode": MODE, "perturbation_interval": 1, "log_config": False}
    kind = _Pb2 if search.scheduler == "pb2" else _Pbt
    changed = {method: changed_ranges(search, method) for method in search.arms}
    return PopulationScheduler({method: kind(ranges, hub, given) for method, ranges in changed.items() if ranges}, ledger)


def changed_ranges(search: SearchSettings, method: str) -> Continuous:
    """What a population changes: continuous hyperparameters of the method, and the learning rate, which each step sets anew.

    The optimiser's other settings are part of the state that a run takes over.
    """
    ranges = ranges_of(method, joint_space(search))
    shared = f"{TRAINING}.learning_rate"
    return {
        key: given
        for key, given in ranges.items()
        if not isinstance(given, Choice) and (key == shared or key.partition(".")[0] not in SHARED)
    }

"""The searchers of Optuna and Ray Tune: each method has one of its own, and an allocation says whose turn it is."""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import isqrt
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from orchestrator.distributions import Choice, Distribution, LogUniform
from orchestrator.errors import SettingsError
from orchestrator.search.allocation import Allocation, Arm, next_method
from orchestrator.search.goal import METRIC, MODE
from orchestrator.search.grid import listed_samples
from orchestrator.search.trial import GENERATION, NUMBER, joint_space, published_samples, ranges_of, shared_settings
from orchestrator.settings import SearchSettings, Settings

LENGTH = "mean_length"

Ranges = Mapping[str, Distribution]
Sample = dict[str, Any]

# The packages that a choice needs, and how they are imported.
_PACKAGES = {
    "cmaes": {"cmaes": "cmaes"},
    "bohb": {"hpbandster": "hpbandster", "ConfigSpace": "ConfigSpace"},
    "pb2": {"scikit-learn": "sklearn"},
}


class MethodSearch(Searcher):
    """One searcher for each method, over its own ranges and the shared ones of training; trials are numbered over all methods.

    Trials that were stopped early are told as pruned: told as complete, an early value would pass for a final one and mislead. Scores of
    a later generation are those of other hyperparameters than were proposed, and are not told.
    """

    def __init__(self, inner: Mapping[str, Searcher], allocation: Allocation, needed: Sequence[str]) -> None:
        """`needed` are the numbers of a result without which a trial counts as not scored."""
        super().__init__(metric=METRIC, mode=MODE)
        self._inner, self._needed = dict(inner), tuple(needed)
        self._allocation: Allocation = allocation
        self._arms = {method: Arm(method) for method in inner}
        self._used_up: set[str] = set()
        self._suggested = 0
        self._running: dict[str, str] = {}
        self._told: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next sample, numbered; FINISHED when no method has another one."""
        while candidates := [arm for arm in self._arms.values() if arm.method not in self._used_up]:
            method = next_method(self._allocation, candidates)
            sample = self._inner[method].suggest(trial_id)
            if sample is None:
                return None
            if sample == Searcher.FINISHED:
                self._used_up.add(method)
                continue
            self._arms[method] = self._arms[method].with_trial()
            self._running[trial_id] = method
            self._suggested += 1
            return {NUMBER: self._suggested, "method": method, **sample}
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the trial's own searcher the score of a whole checkpoint, once: a trial that is followed again reports again.

        Of a trial that is not known, nothing can be told: Tune saves its trials a moment before its searcher.
        """
        method = self._running.get(trial_id)
        is_told = result["step"] <= self._told.get(trial_id, 0)
        if method is None or is_told or not result["whole"] or not _as_proposed(result):
            return
        self._told[trial_id] = result["step"]
        self._arms[method] = self._arms[method].with_win_rate(result[METRIC])
        self._inner[method].on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the trial's own searcher how it ended. Tune brings the result at which it ends a trial only here."""
        if result is None or any(result.get(key) is None for key in self._needed):
            result = None
        else:
            self.on_trial_result(trial_id, {**result, "whole": True})
        method = self._running.pop(trial_id, None)
        self._told.pop(trial_id, None)
        if method is not None:
            is_complete = result is not None and result["checkpoint"] >= result["checkpoints"] and _as_proposed(result)
            self._inner[method].on_trial_complete(trial_id, result if is_complete else None, error)

    def on_pause(self, trial_id: str) -> None:
        """A paused trial keeps its place: how many run at the same time is not this searcher's matter."""

    on_unpause = on_pause

    def save(self, checkpoint_path: str) -> None:
        """Everything that was proposed and told."""
        Path(checkpoint_path).write_bytes(pickle.dumps(self.__dict__))

    def restore(self, checkpoint_path: str) -> None:
        """Go on where `save` was called."""
        self.__dict__.update(pickle.loads(Path(checkpoint_path).read_bytes()))


def make_searcher(settings: Settings) -> MethodSearch:
    """The settings' searcher for each arm: its published setting first, then proposals."""
    search, shared = settings.search, shared_settings(settings)
    space, listed = joint_space(search), listed_samples(search, shared)
    inner: dict[str, Searcher] = {}
    for published in published_samples(search.arms, space, shared):
        method = published.pop("method")
        samples = listed[method]
        inner[method] = _Listed(samples) if samples is not None else _proposing(search, method, ranges_of(method, space), published)
    return MethodSearch(inner, search.allocation, (METRIC, LENGTH) if search.searcher == "nsga2" else (METRIC,))


def check_installed(search: SearchSettings) -> None:
    """Refuse a searcher or scheduler whose packages are not installed. Raises SettingsError."""
    for kind, chosen in (("searcher", search.searcher), ("scheduler", search.scheduler)):
        missing = [package for package, module in _PACKAGES.get(chosen, {}).items() if find_spec(module) is None]
        if missing:
            raise SettingsError(
                f"the {kind} {chosen!r} needs {' and '.join(missing)}, which cannot be found",
                f"search.{kind}",
                f"pip install 'daa-orchestrator[search]', or choose another {kind}",
            )


def _as_proposed(result: Mapping[str, Any]) -> bool:
    """True for a score of the hyperparameters that a searcher proposed, and not of those that a population made of them."""
    return result.get(GENERATION, 1) == 1


def _proposing(search: SearchSettings, method: str, ranges: Ranges, published: Sample) -> Searcher:
    """A searcher over ranges. Methods draw from seeds of their own, whatever other methods there are."""
    seed = int(np.random.SeedSequence((search.seed, crc32(method.encode()))).generate_state(1)[0])
    if search.searcher == "bohb":
        # Its packages are slow to import.
        from orchestrator.cluster.tune.bohb import Bohb

        return Bohb(ranges, seed, published)
    several = search.searcher == "nsga2"
    return OptunaSearch(
        space=_Proposal(ranges),
        metric=[METRIC, LENGTH] if several else METRIC,
        mode=[MODE, "min"] if several else MODE,
        sampler=_sampler(search, seed, len(ranges)),
        points_to_evaluate=[published],
    )


def _sampler(search: SearchSettings, seed: int, ranges: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler for one method."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match search.searcher:
            case "cmaes":
                # Options are drawn at random, as Optuna does; it would say so for each of them.
                return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
            case "nsga2":
                # As many generations as individuals: Optuna's 50 would leave a usual search in its random first generation.
                share = search.trials // len(search.arms)
                return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(2, isqrt(share)))
            case _:
                # As BOHB does, one trial more than there are ranges comes before the model.
                return optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=ranges + 1)


class _Proposal:
    """The ranges of one method as Optuna asks for them."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = dict(ranges)

    def __call__(self, trial: optuna.Trial) -> None:
        for name, distribution in self._ranges.items():
            if isinstance(distribution, Choice):
                trial.suggest_categorical(name, list(distribution.options))
                continue
            low, high, log = distribution.low, distribution.high, isinstance(distribution, LogUniform)
            if distribution.whole:
                trial.suggest_int(name, int(low), int(high), log=log)
            else:
                trial.suggest_float(name, low, high, log=log)


class _Listed(Searcher):
    """One sample after the other."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__()
        self._left = list(samples)

    def suggest(self, trial_id: str) -> Any:
        """The next one, or FINISHED."""
        return self._left.pop(0) if self._left else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A list learns nothing."""

"""The searcher BOHB, as the others are: reproducible, with plain Python values, learning from each checkpoint."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ConfigSpace
import numpy as np
from ray.tune.search.bohb import TuneBOHB

from orchestrator.distributions import Choice, Distribution, LogUniform
from orchestrator.search.goal import METRIC, MODE


class Bohb(TuneBOHB):
    """BOHB (Falkner, Klein & Hutter 2018, arXiv:1807.01774): models of good and bad samples, at the most steps that have enough.

    Its budgets are steps, so that it learns from each checkpoint under any scheduler. Options go in as their positions: ConfigSpace
    would make numpy values of them. hpbandster draws from numpy's global generator, which is therefore exchanged for an own one.
    """

    def __init__(self, ranges: Mapping[str, Distribution], seed: int, published: Mapping[str, Any]) -> None:
        space = ConfigSpace.ConfigurationSpace(seed=seed)
        self._options = {name: tuple(given.options) for name, given in ranges.items() if isinstance(given, Choice)}
        self._random_state = np.random.RandomState(seed).get_state()
        self._whole = {name for name, given in ranges.items() if not isinstance(given, Choice) and given.whole}
        for name, given in ranges.items():
            if isinstance(given, Choice):
                space.add(ConfigSpace.CategoricalHyperparameter(name, choices=range(len(given.options))))
            else:
                kind = ConfigSpace.UniformIntegerHyperparameter if given.whole else ConfigSpace.UniformFloatHyperparameter
                space.add(kind(name, given.low, given.high, log=isinstance(given, LogUniform)))
        positions = {name: self._options[name].index(value) if name in self._options else value for name, value in published.items()}
        first = dict(space.sample_configuration()) | positions
        super().__init__(space=space, metric=METRIC, mode=MODE, points_to_evaluate=[first])

    def suggest(self, trial_id: str) -> Any:
        """The next sample, of plain Python values."""
        with self._own_randomness():
            sample: Any = super().suggest(trial_id)
        return {name: self._plain(name, value) for name, value in sample.items()}

    def _plain(self, name: str, value: Any) -> Any:
        if name in self._options:
            return self._options[name][int(value)]
        return int(value) if name in self._whole else float(value)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Fit the model of this number of steps again."""
        with self._own_randomness():
            super().on_trial_result(trial_id, {**result, "hyperband_info": {"budget": result["step"]}})

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        outer = np.random.get_state()
        np.random.set_state(self._random_state)
        try:
            yield
        finally:
            self._random_state = np.random.get_state()
            np.random.set_state(outer)

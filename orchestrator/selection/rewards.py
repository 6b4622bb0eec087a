"""Rewards on one scale: reward models differ in their zero and their unit, which methods that use rewards would take for meaning."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from orchestrator.errors import DataFormatError

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Scale:
    """What rewards were standardised by: their mean and their population deviation."""

    mean: float
    deviation: float

    def as_dict(self) -> dict[str, float]:
        """A JSON-ready form, to be kept with what was standardised."""
        return asdict(self)

    def applied(self, rewards: Values) -> np.ndarray:
        """Rewards (N,) on this scale, float64; where the scale's own did not vary all count 0."""
        array = np.asarray(rewards, dtype=np.float64)
        return (array - self.mean) / self.deviation if self.deviation > 0 else array * 0


def scale_of(rewards: Values) -> Scale:
    """The scale of N rewards. Raises DataFormatError when there are none, or when one is no finite number."""
    array = np.asarray(rewards, dtype=np.float64)
    if not len(array) or not np.isfinite(array).all():
        what = f"{len(array)} rewards, {int((~np.isfinite(array)).sum())} of them no finite number, have no scale"
        raise DataFormatError(what, "rewards", "leave out responses without a reward")
    # Equal rewards have a deviation of rounding errors.
    spread = 0.0 if array.min() == array.max() else float(array.std())
    return Scale(float(array.mean()), spread)


def standardised(rewards: Values) -> tuple[np.ndarray, Scale]:
    """Rewards (N,) with mean 0 and deviation 1, as RPO takes them (arXiv:2502.00203), and their scale; all 0 where they do not vary."""
    scale = scale_of(rewards)
    return scale.applied(rewards), scale

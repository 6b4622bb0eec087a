"""The simulated side of `scale.py`: GPUs, engines and a judge in virtual time, and verdicts drawn for trials of drawn strength."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from evals.generation import Response
from evals.judging import Verdict
from orchestrator.search.trial import Trial

METHODS = {
    "dpo": "beta",
    "ipo": "beta",
    "simpo": "beta",
    "alphapo": "beta",
    "alpha_dpo": "beta",
    "epsilon_dpo": "beta",
    "minor_dpo": "beta",
}
# Verdicts of trials of equal strength correlate by about 0.5, and win rates have a standard deviation of 5 points.
_CORRELATION, _SPREAD, _GAIN = 0.65, 0.14, 0.1
_UNREADABLE = 0.005


@dataclass(frozen=True)
class Cluster:
    """What there is and how fast: seconds are virtual, `train_s` the mean of one checkpoint's training.

    Answering takes `load_s` for a checkpoint's weights and `1 / answers_per_s` for each prompt; the one judge answers `verdicts_per_s`
    after `judge_s`.
    """

    gangs: int
    engines: int
    train_s: float
    load_s: float = 10.0
    answers_per_s: float = 10.0
    judge_s: float = 3.0
    verdicts_per_s: float = 100.0


class Clock:
    """Virtual time: what was planned happens in order, and the time jumps from one thing to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Plan something."""
        heapq.heappush(self._planned, (self.now + seconds, next(self._order), happens))

    def run(self) -> None:
        """Until nothing is planned."""
        while self._planned:
            self.now, _, happens = heapq.heappop(self._planned)
            happens()


class Evaluation:
    """Engines, taken in turn, and one judge that all of them feed."""

    def __init__(self, clock: Clock, cluster: Cluster) -> None:
        self._clock, self._cluster = clock, cluster
        self._engines = [0.0] * cluster.engines
        self._judge = 0.0

    def score(self, prompts: int, done: Callable[[], None]) -> None:
        """Answer and judge so many prompts, then tell."""
        has = self._cluster
        answered = max(self._clock.now, heapq.heappop(self._engines)) + has.load_s + prompts / has.answers_per_s
        heapq.heappush(self._engines, answered)
        self._clock.after(answered - self._clock.now, lambda: self._judged(prompts, done))

    def _judged(self, prompts: int, done: Callable[[], None]) -> None:
        self._judge = max(self._judge, self._clock.now) + prompts / self._cluster.verdicts_per_s
        self._clock.after(self._judge - self._clock.now + self._cluster.judge_s, done)


class World:
    """Trials as a searcher might propose them, and what their checkpoints are worth. Equal seeds give equal worlds."""

    def __init__(self, prompts: int, seed: int) -> None:
        self._seed, self.prompts = seed, [f"alpaca_eval-{number:04d}" for number in range(prompts)]
        self._easy = np.random.default_rng((seed, 0)).standard_normal(prompts) * np.sqrt(_CORRELATION)

    def trial(self, number: int) -> Trial:
        """The trial of that number."""
        chance = np.random.default_rng((self._seed, 1, number))
        method = list(METHODS)[number % len(METHODS)]
        own = {f"{method}.{METHODS[method]}": float(chance.uniform(0.01, 1.0))}
        return Trial.from_sample(number, {"method": method, **own, "training.learning_rate": float(10 ** chance.uniform(-7, -5))})

    def verdicts(self, number: int, checkpoint: int, prompts: int) -> list[Verdict]:
        """Of a checkpoint, counted from 1, on the first prompts of their shared order; on more of them, the same and more."""
        strength = _SPREAD * np.random.default_rng((self._seed, 2, number)).standard_normal() + _GAIN * (checkpoint - 1)
        chance = np.random.default_rng((self._seed, 3, number, checkpoint))
        own = np.sqrt(1 - _CORRELATION) * chance.standard_normal(len(self.prompts))
        wins: npt.NDArray[np.bool_] = self._easy + own + strength > 0
        unread = chance.random(len(self.prompts)) < _UNREADABLE
        rows = zip(self.prompts[:prompts], wins[:prompts].tolist(), unread[:prompts].tolist(), strict=True)
        return [Verdict(prompt, None if lost else float(won)) for prompt, won, lost in rows]

    def training_seconds(self, number: int, checkpoint: int, mean: float) -> float:
        """Around the mean, by a quarter of it."""
        return mean * float(np.random.default_rng((self._seed, 4, number, checkpoint)).gamma(16, 1 / 16))

    def responses(self) -> list[Response]:
        """One answer to each prompt; the same text for all, since nothing reads it."""
        return [Response(prompt, "An answer. " * 100, 300) for prompt in self.prompts]


def training_told() -> dict[str, Any]:
    """What a run tells of itself with each score, in size and form."""
    shares = dict.fromkeys(("data", "forward", "backward", "step", "reference"), 0.2)
    rates = {"tokens_per_second": 41234.5, "pairs_per_second": 51.2, "mfu": 0.412, "memory_mb": 61234.5, "padding": 0.01}
    return {"health": "learning", "cure": "", "telemetry": {**rates, "shares": shares}, "validation_accuracy": 0.71}

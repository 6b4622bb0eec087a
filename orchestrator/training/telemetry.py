"""Where a step's time goes, and what it gets done with it."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.policy.cost import peak_flops

if TYPE_CHECKING:
    from orchestrator.preferences.packing import PackedResponses
    from orchestrator.training.engine import Engine

PHASES: tuple[str, ...] = ("data", "forward", "backward", "optimiser", "communication", "validation", "checkpoint")


class Stopwatch:
    """Seconds by phase. What is timed inside another phase does not count there.

    `communication` is what the loop itself tells other ranks and hears from them; what an engine sends while it computes is in the phase
    that it computes in.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._inside = [0.0]

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = self._now()
        self._inside.append(0.0)
        try:
            yield
        finally:
            took = self._now() - started
            self._seconds[phase] += took - self._inside.pop()
            self._inside[-1] += took

    def lap(self) -> dict[str, float]:
        """Seconds by phase since the last lap."""
        found, self._seconds = self._seconds, dict.fromkeys(PHASES, 0.0)
        return found

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


@dataclass(frozen=True)
class Telemetry:
    """What one step did: all ranks together, but for memory and the shares of time, which are one rank's.

    `tokens` counts a pair's prompt once; `padding` is the share of computed places that hold no such token. `mfu` is the useful
    floating-point operations (see Cost) as a share of what the devices are made for, None where it is not known. `shares` are of the
    step's time by phase; they leave out what is in none.
    """

    seconds: float
    pairs_per_second: float
    tokens_per_second: float
    mfu: float | None
    memory_mb: float
    padding: float
    shares: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form, rounded to what a reader can use."""
        numbers = {name: round(value, 4) for name, value in asdict(self).items() if isinstance(value, float)}
        shares = {phase: round(share, 4) for phase, share in self.shares.items()}
        return {**numbers, "mfu": None if self.mfu is None else round(self.mfu, 4), "shares": shares}


class Meter:
    """Measures the steps of an engine, from one call of `step` to the next."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        if engine.device.type == "cuda":
            # A process trains one trial after another.
            torch.cuda.reset_peak_memory_stats(engine.device)
        self._since = time.perf_counter()

    def step(self, pairs: int, tokens: int, responses: int, padding: float) -> Telemetry:
        """The figures of a step that all ranks took together on so many pairs with so many tokens, of which some are responses'."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        engine = self._engine
        return Telemetry(
            seconds=seconds,
            pairs_per_second=pairs / seconds,
            tokens_per_second=tokens / seconds,
            mfu=self._mfu(tokens, responses, seconds),
            memory_mb=_memory_mb(engine.device),
            padding=padding,
            shares={phase: value / seconds for phase, value in engine.watch.lap().items()},
        )

    def _mfu(self, tokens: int, responses: int, seconds: float) -> float | None:
        engine = self._engine
        if engine.cost is None:
            return None
        return engine.cost.flops(tokens, responses) / seconds / engine.world_size / peak_flops(engine.device)


def padding_share(batches: Sequence[PackedResponses], layout: str) -> float:
    """The share of what is computed that is neither a prompt, counted once, nor a response."""
    return 1 - sum(len(batch.tokens) for batch in batches) / sum(batch.places(layout) for batch in batches)


def _memory_mb(device: torch.device) -> float:
    """The most that was held at a time: of the accelerator's memory since a Meter was made, or of the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

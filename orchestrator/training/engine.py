"""What the training loop asks of whatever holds the weights and the optimiser."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from orchestrator.policy.adapters import WithoutAdapters
from orchestrator.policy.cost import Cost
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.training.telemetry import Stopwatch

Shared = TypeVar("Shared")


class Engine(Protocol):
    """Holds the policy on one of `world_size` ranks. Every method but `policy` is called by all ranks in the same order.

    `parameters` counts what is trained, `cost` is what a token costs; `layout` is how the policy lays responses out (see ScoringModel).
    `watch` takes the time of what a step is made of. A batch is dealt out in `shares`, of which this rank trains on number `share`; ranks
    that share sequences have the same one.
    """

    rank: int
    world_size: int
    device: torch.device
    parameters: int
    layout: str
    cost: Cost | None
    share: int
    shares: int
    watch: Stopwatch

    @property
    def policy(self) -> Any:
        """Called as a ScoringModel is; the gradients of what it returns reach the weights."""
        ...

    @property
    def base(self) -> WithoutAdapters | None:
        """The model that training started from, where the policy is that model with adapters."""
        ...

    def prepare(self, frozen: ScoringModel) -> ScoringModel:
        """Have a frozen model score as the policy does, on the same ranks together."""
        ...

    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Add the gradients of one micro-batch, the mean over ranks being taken; `is_last` tells the last one of a step."""
        ...

    def update(self, learning_rate: float) -> float:
        """Clip, take the optimiser step, clear the gradients; returns the gradient norm before clipping."""
        ...

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means over ranks."""
        ...

    def gather(self, value: Shared) -> list[Shared]:
        """Every rank's value, in the order of ranks; tensors in it lie on the CPU."""
        ...

    def save(self, directory: Path) -> None:
        """Write weights and optimiser, exactly."""
        ...

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises CheckpointError when it was written by another number of ranks."""
        ...

    def export(self, directory: Path) -> None:
        """Write the weights as a Hugging Face directory (safetensors)."""
        ...

    def close(self) -> None:
        """Free the memory."""
        ...

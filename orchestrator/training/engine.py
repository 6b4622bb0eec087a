"""What the training loop asks of whatever holds the weights and the optimiser."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

Shared = TypeVar("Shared")


class Engine(Protocol):
    """Holds the policy on one of `world_size` ranks. Every method but `policy` is called by all ranks in the same order."""

    rank: int
    world_size: int
    device: torch.device
    accumulation: int
    parameters: int

    @property
    def policy(self) -> Any:
        """Called with a PairBatch, returns ResponseLogits whose gradients reach the weights."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of one micro-batch's mean loss; the engine divides by `accumulation` and by the ranks."""
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

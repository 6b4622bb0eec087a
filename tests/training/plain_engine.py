"""The least engine there is: float64, steps of a given length down the gradient, gloo ranks; it writes down every gradient."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from orchestrator.policy.cost import cost_of
from orchestrator.policy.loading import load_policy
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.settings import TrainingSettings
from orchestrator.training.engine import Shared
from orchestrator.training.run import TrainingRun
from orchestrator.training.telemetry import Stopwatch


class DoublePrecision(TrainingSettings):
    """Settings whose models and references are float64."""

    @property
    def dtype(self) -> torch.dtype:
        """Twice the usual."""
        return torch.float64


class PlainEngine:
    """One of `world_size` ranks; needs a process group when there are several."""

    def __init__(self, run: TrainingRun, world_size: int = 1) -> None:
        self.rank = dist.get_rank() if world_size > 1 else 0
        self.world_size = world_size
        self.share, self.shares = self.rank, world_size
        self.device = torch.device("cpu")
        self.gradients: list[Tensor] = []
        self._model = load_policy(run.model, torch.float64).train()
        self._weights = list(self._model.parameters())
        self.parameters = sum(weight.numel() for weight in self._weights)
        self.layout, self.cost = self._model.layout, cost_of(self._model)
        self.watch = Stopwatch(self.device)

    @property
    def policy(self) -> Any:
        """The scoring model."""
        return self._model

    @property
    def base(self) -> None:
        """No adapters."""
        return

    def prepare(self, frozen: ScoringModel) -> ScoringModel:
        """Every rank scores alone."""
        return frozen

    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Add gradients."""
        (loss / self.world_size).backward()

    def update(self, learning_rate: float) -> float:
        """Sum gradients over ranks, keep them, step, clear."""
        for weight in self._weights:
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            if self.world_size > 1:
                dist.all_reduce(weight.grad)
        gradient = torch.cat([weight.grad.flatten() for weight in self._weights if weight.grad is not None])
        self.gradients.append(gradient)
        norm = gradient.norm()
        with torch.no_grad():
            for weight in self._weights:
                assert weight.grad is not None
                weight.sub_(learning_rate * weight.grad / norm)
                weight.grad = None
        return float(norm)

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means over ranks."""
        packed = torch.tensor([values[key] for key in sorted(values)], dtype=torch.float64)
        if self.world_size > 1:
            dist.all_reduce(packed)
        return dict(zip(sorted(values), (packed / self.world_size).tolist(), strict=True))

    def gather(self, value: Shared) -> list[Shared]:
        """All ranks' values."""
        shares: list[Any] = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(shares, value)
        return shares

    def save(self, directory: Path) -> None:
        """The gradients of all steps stand for the state."""
        directory.mkdir(parents=True, exist_ok=True)
        torch.save(torch.stack(self.gradients), directory / f"gradients-{self.rank}.pt")

    def load(self, directory: Path) -> None:
        """A run with this engine is not resumed."""
        raise NotImplementedError

    def export(self, directory: Path) -> None:
        """No model is needed."""
        directory.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Nothing to free."""

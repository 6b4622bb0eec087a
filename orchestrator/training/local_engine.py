"""Training in this process, on one device, without Ray or DeepSpeed."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evals.errors import shortened
from evals.model_files import FAULTS
from orchestrator.errors import CheckpointError
from orchestrator.policy.adapters import WithoutAdapters, base_of, trained
from orchestrator.policy.cost import cost_of
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.settings import TrainingSettings
from orchestrator.training.engine import Shared
from orchestrator.training.telemetry import Stopwatch


class LocalEngine:
    """One rank and AdamW, which moves a float32 copy of each weight of less precision: its steps are smaller than bf16 can tell apart."""

    rank = share = 0
    world_size = shares = 1

    def __init__(self, model: ScoringModel, settings: TrainingSettings, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._trained = trained(model)
        self.parameters = sum(parameter.numel() for parameter in self._trained.values())
        self.layout, self.cost = model.layout, cost_of(model)
        self.watch = Stopwatch(self.device)
        self._model = model.to(self.device).train()
        self._settings = settings

    @cached_property
    def _moved(self) -> dict[str, Tensor]:
        """What the optimiser moves, by the weights' names: the weight itself where that is float32 or better."""
        return {name: weight if _is_exact(weight) else weight.detach().float() for name, weight in self._trained.items()}

    @cached_property
    def _optimizer(self) -> torch.optim.AdamW:
        """Made with the first step, as an engine that only scores needs neither copies nor moments."""
        settings = self._settings
        return torch.optim.AdamW(self._moved.values(), betas=settings.adam_betas, weight_decay=settings.weight_decay, fused=True)

    @property
    def policy(self) -> Any:
        """The scoring model."""
        return self._model

    @property
    def base(self) -> WithoutAdapters | None:
        """The model without its adapters, if it has any."""
        return base_of(self._model)

    def prepare(self, frozen: ScoringModel) -> ScoringModel:
        """One rank scores alone."""
        return frozen

    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Add gradients, in float32 where the optimiser has a copy."""
        with self.watch("backward"):
            loss.backward()
            for name, weight in self._trained.items():
                moved = self._moved[name]
                if moved is not weight and weight.grad is not None:
                    moved.grad = weight.grad.float() if moved.grad is None else moved.grad.add_(weight.grad)
                    weight.grad = None

    def update(self, learning_rate: float) -> float:
        """Clip, step, clear."""
        with self.watch("optimiser"):
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate
            norm = torch.nn.utils.clip_grad_norm_(self._moved.values(), self._settings.gradient_clipping or float("inf"))
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            _round(self._moved, self._trained)
            return float(norm)

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """One rank's mean is the value."""
        return dict(values)

    def gather(self, value: Shared) -> list[Shared]:
        """One rank's value."""
        return [value]

    def save(self, directory: Path) -> None:
        """Write weights, as exact as the optimiser has them, and optimiser."""
        directory.mkdir(parents=True, exist_ok=True)
        torch.save(
            {"model": {name: moved.detach() for name, moved in self._moved.items()}, "optimizer": self._optimizer.state_dict()},
            directory / "local.pt",
        )

    def load(self, directory: Path) -> None:
        """Read weights and optimiser. Raises CheckpointError for a damaged file, and for another model's."""
        try:
            saved = torch.load(directory / "local.pt", map_location=self.device, weights_only=True)
            self._model.load_state_dict(saved["model"], strict=False)
            _round(saved["model"], {name: moved for name, moved in self._moved.items() if moved is not self._trained[name]})
            self._optimizer.load_state_dict(saved["optimizer"])
        except FAULTS as error:
            cure = "delete the checkpoint; training goes on from the one before, or begins anew"
            raise CheckpointError(f"the checkpoint cannot be loaded: {shortened(str(error))}", str(directory), cure) from error

    def export(self, directory: Path) -> None:
        """Write a Hugging Face directory."""
        self._model.model.save_pretrained(directory)  # pyright: ignore[reportCallIssue]

    def close(self) -> None:
        """Drop what the optimiser keeps."""
        vars(self).pop("_optimizer", None)
        vars(self).pop("_moved", None)


def _is_exact(weight: Tensor) -> bool:
    return weight.dtype.itemsize >= torch.float32.itemsize


@torch.no_grad()
def _round(given: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    """Copy what is not the same tensor, in the precision of where it goes."""
    for name, tensor in into.items():
        if given[name] is not tensor:
            tensor.copy_(given[name])

"""Training on many ranks with DeepSpeed; the only file that names it."""

import gc
import importlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from evals.importing import importing
from orchestrator.errors import CheckpointError
from orchestrator.policy.adapters import WithoutAdapters, base_of, trained
from orchestrator.policy.cost import cost_of
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.policy.spreading import Spread
from orchestrator.settings import TrainingSettings
from orchestrator.training.engine import Shared
from orchestrator.training.telemetry import Stopwatch

_TAG = "state"


def warm_up() -> None:
    """What a process does before its first run: pay for the imports, and join the process group."""
    with importing():
        from transformers.models.llama import modeling_llama  # noqa: F401

        prepare_process()


def prepare_process() -> None:
    """Import DeepSpeed and join the process group (made by the launcher, or from the environment). Safe to call again."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed
    import deepspeed.ops

    # The shared-memory collectives are compiled at first use, for a minute, and a process killed meanwhile leaves a lock behind that
    # makes every later start hang; plain gloo needs neither compiler nor lock.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    _import_muon()
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    deepspeed.init_distributed(backend, dist_init_required=not dist.is_initialized(), verbose=False)
    if torch.cuda.is_available():
        # DeepSpeed's own choice, made before a model is loaded there.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def free_memory() -> None:
    """Give back what this process does not use of its GPU, for an engine that shares it and wakes when training ends."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@lru_cache(maxsize=1)
def _import_muon() -> None:
    """ZeRO imports this optimiser, whichever is used, and its module decorates functions with torch.compile: spare it Inductor's import."""
    torch.compiler.set_default_backend("eager")
    try:
        importlib.import_module("deepspeed.runtime.zero.muon.muon_optimizer")
    finally:
        torch.compiler.set_default_backend(None)


@lru_cache(maxsize=4)
def _groups(world_size: int, together: int) -> list[Any]:
    """Groups of neighbouring ranks, made once in a process; every rank takes part in making each."""
    return [dist.new_group(list(range(first, first + together))) for first in range(0, world_size, together)]


class DeepSpeedEngine:
    """One rank of a DeepSpeed group, ZeRO stage 0 to 3."""

    def __init__(self, model: ScoringModel, settings: TrainingSettings) -> None:
        prepare_process()
        import deepspeed

        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        settings.check_workers(self.world_size)
        together = settings.sequence_parallel
        self.share, self.shares = self.rank // together, self.world_size // together
        self._spread = Spread(_groups(self.world_size, together)[self.share], together, self.rank % together) if together > 1 else None
        self.prepare(model)
        optimised = list(trained(model).values())
        self.parameters = sum(parameter.numel() for parameter in optimised)
        self._base = base_of(model)
        self.layout, self.cost = model.layout, cost_of(model)
        self._stage = settings.zero_stage
        self._is_plain = settings.zero_stage == 0 and settings.precision == "fp32"
        engine: Any = deepspeed.initialize(
            model=model,
            model_parameters=optimised,  # pyright: ignore[reportArgumentType]
            config=deepspeed_config(settings),
        )[0]
        self._engine = engine
        self._engine.train()
        self.device = torch.device(self._engine.device)
        self.watch = Stopwatch(self.device)

    @property
    def policy(self) -> Any:
        """DeepSpeed's wrapper of the scoring model."""
        return self._engine

    @property
    def base(self) -> WithoutAdapters | None:
        """The model without its adapters, if it has any."""
        return self._base

    def prepare(self, frozen: ScoringModel) -> ScoringModel:
        """Spread its sequences over the same ranks as the policy's."""
        if self._spread is not None:
            frozen.spread_over(self._spread)
        return frozen

    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Add gradients. Micro-batches are as many as a step's tokens need, hence DeepSpeed is told of the last one."""
        with self.watch("backward"):
            self._engine.set_gradient_accumulation_boundary(is_last)
            self._engine.backward(loss)

    def update(self, learning_rate: float) -> float:
        """Clip, step, clear."""
        with self.watch("optimiser"):
            for group in self._engine.optimizer.param_groups:
                group["lr"] = learning_rate
            plain_norm = self._gradient_norm() if self._is_plain else None
            self._engine.step()
            return float(self._engine.get_global_grad_norm() if plain_norm is None else plain_norm)

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means over ranks, in float64."""
        kind = torch.float64 if self.device.type != "mps" else torch.float32
        packed = torch.tensor([values[key] for key in sorted(values)], dtype=kind, device=self.device)
        with self.watch("communication"):
            dist.all_reduce(packed)
        return dict(zip(sorted(values), (packed / self.world_size).tolist(), strict=True))

    def gather(self, value: Shared) -> list[Shared]:
        """All ranks' values."""
        shares: list[Any] = [None] * self.world_size
        with self.watch("communication"):
            dist.all_gather_object(shares, value)
        return shares

    def save(self, directory: Path) -> None:
        """Write every rank's part."""
        self._engine.save_checkpoint(str(directory), tag=_TAG, save_latest=False, exclude_frozen_parameters=self._base is not None)
        if self.device.type == "cuda":
            # What steps took beyond the state is free for an engine that shares the GPU and works now.
            torch.cuda.empty_cache()

    def load(self, directory: Path) -> None:
        """Read every rank's part."""
        from deepspeed.runtime.zero.utils import ZeRORuntimeException

        try:
            loaded, _ = self._engine.load_checkpoint(str(directory), tag=_TAG, load_module_strict=self._base is None)
        # A part of another ZeRO stage lacks what this one looks for.
        except (OSError, RuntimeError, AssertionError, LookupError, TypeError, ZeRORuntimeException) as error:
            raise CheckpointError(f"the checkpoint cannot be loaded: {error!r}", str(directory), _LOAD_CURE) from error
        if loaded is None:
            raise CheckpointError("the checkpoint is not whole", str(directory), _LOAD_CURE)

    def export(self, directory: Path) -> None:
        """Write a Hugging Face directory from rank 0."""
        engine, frozen = self._engine, self._base is not None
        weights = engine._zero3_consolidated_16bit_state_dict(frozen) if self._stage == 3 else engine.module.state_dict()
        if self.rank == 0:
            plain = {key.removeprefix("model."): value for key, value in weights.items()}
            engine.module.model.save_pretrained(directory, state_dict=plain)

    def close(self) -> None:
        """Free the engine; the process group stays for the next one."""
        self._engine.destroy()
        # With adapters, what gives their base holds the whole policy.
        self._base = None
        del self._engine
        free_memory()

    def _gradient_norm(self) -> Tensor:
        """Without ZeRO and in fp32 DeepSpeed leaves whole gradients in place and does not tell their norm."""
        gradients = [parameter.grad for parameter in self._engine.module.parameters() if parameter.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)


_LOAD_CURE = "resume with the same number of workers and the same ZeRO stage, or delete the checkpoint to start again"


def deepspeed_config(settings: TrainingSettings) -> dict[str, Any]:
    """DeepSpeed's configuration. Clipping is always written: left out, it would be 1.0. Batches are the loop's business."""
    adam = {"torch_adam": True, "lr": settings.learning_rate, "betas": settings.adam_betas, "weight_decay": settings.weight_decay}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.gradient_clipping or 0.0,
        "optimizer": {"type": "AdamW", "params": adam},
        "zero_optimization": {"stage": settings.zero_stage, "stage3_gather_16bit_weights_on_model_save": settings.zero_stage == 3},
        "bf16": {"enabled": settings.precision == "bf16"},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }

"""How every trial trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from orchestrator.errors import DataFormatError, SettingsError
from orchestrator.settings.section import Section

if TYPE_CHECKING:
    import torch


# That of a model of some billion parameters, all of them trained by preferences; adapters learn at ten times as much.
_RATE, _RATE_OF_ADAPTERS = 5e-7, 5e-6
# The share that a running mean keeps at each step.
Decay = Annotated[float, Field(ge=0, lt=1)]


class LoraSettings(Section):
    """Low-rank adapters instead of all weights (LoRA, arXiv:2106.09685): of every linear layer but the last, or of the `targets` by name.

    With `quantization` the base model's weights are kept in four bits (QLoRA, arXiv:2305.14314), which needs bitsandbytes.
    """

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    targets: tuple[str, ...] = ()
    quantization: Literal["nf4"] | None = None


class TrainingSettings(Section):
    """How every trial trains. `batch_size` counts pairs per optimiser step over all workers; without `steps`, `epochs` decides.

    `micro_batch_tokens` bounds the tokens that a worker holds at a time, a pair's prompt counting once; it decides memory, and of the
    result no more than rounding.
    `compile` has torch.compile fuse feed-forward layers and norms, which takes a minute at the first step and less memory at the others.
    `sequence_parallel` workers share each sequence, for contexts that one has no memory for.
    With `lora` adapters are trained, by default with a `learning_rate` of 5e-6, and checkpoints hold adapters. The schedule "wsd" is
    constant and falls to zero in the last fifth.
    """

    learning_rate: PositiveFloat = _RATE
    schedule: Literal["constant", "wsd", "linear", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    batch_size: PositiveInt = 128
    micro_batch_tokens: PositiveInt = 8192
    epochs: PositiveFloat = 1.0
    steps: PositiveInt | None = None
    checkpoints: PositiveInt = 4
    precision: Literal["fp32", "bf16"] = "bf16"
    zero_stage: Literal[0, 1, 2, 3] = 2
    sequence_parallel: PositiveInt = 1
    gradient_clipping: PositiveFloat | None = 1.0
    gradient_checkpointing: bool = False
    compile: bool = False
    lora: LoraSettings | None = None
    weight_decay: NonNegativeFloat = 0.0
    adam_betas: tuple[Decay, Decay] = (0.9, 0.95)
    seed: NonNegativeInt = 0

    @model_validator(mode="before")
    @classmethod
    def _rate_by_what_is_trained(cls, values: Any) -> Any:
        is_of_adapters = isinstance(values, Mapping) and values.get("lora") is not None
        return {"learning_rate": _RATE_OF_ADAPTERS, **values} if is_of_adapters else values

    @model_validator(mode="after")
    def _possible(self) -> TrainingSettings:
        if self.lora is not None and self.lora.quantization and self.zero_stage == 3:
            raise ValueError(
                "zero_stage 3 cannot spread quantized weights over workers: set zero_stage = 2, or leave lora.quantization out"
            )
        if self.lora is not None and self.lora.quantization and self.precision != "bf16":
            raise ValueError('quantized weights are computed with in bf16: set precision = "bf16"')
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The weights' precision as torch names it."""
        import torch

        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def computed(self, is_trained: bool) -> str:
        """How a model's scores are computed, the one that is trained or another: for equal names they are equal."""
        quantization = self.lora.quantization if self.lora is not None and is_trained else None
        return " ".join(filter(None, (str(self.dtype), quantization, "compiled" if self.compile else None)))

    def check_workers(self, workers: int) -> None:
        """Refuse workers that sequences cannot be spread over, and more than a batch has pairs for. Raises SettingsError."""
        together = self.sequence_parallel
        if workers % together:
            cure = f"use a number of workers that {together} divides, or another sequence_parallel"
            raise SettingsError(f"{workers} workers cannot share sequences by {together}", "training.sequence_parallel", cure)
        shares = workers // together
        if shares > self.batch_size:
            what = f"a batch of {self.batch_size} pairs leaves some of {workers} workers without any"
            raise SettingsError(what, "training.batch_size", f"use batch_size = {shares} or more, or fewer workers")

    def total_steps(self, pairs: int) -> int:
        """Optimiser steps for a data set of `pairs`. Raises DataFormatError when there is not one whole batch."""
        if pairs < self.batch_size:
            raise DataFormatError(
                f"{pairs} pairs are fewer than one batch of {self.batch_size}",
                "training.batch_size",
                "use more data, a smaller batch_size, or hold out fewer with data.validation_pairs",
                code="DAA-0210",
            )
        # 0.29 of 100 is 29, and in floats a little less.
        return self.steps or max(1, math.floor(self.epochs * (pairs // self.batch_size) + 1e-9))

    def checkpoint_steps(self, pairs: int) -> list[int]:
        """The steps after which a checkpoint is written and scored: evenly spaced, the last step among them."""
        steps = self.total_steps(pairs)
        count = min(self.checkpoints, steps)
        return [math.ceil(steps * (number + 1) / count) for number in range(count)]

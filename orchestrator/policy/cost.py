"""What a model must compute for a step, and what its device can."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.policy.gpus import known_gpu

if TYPE_CHECKING:
    from orchestrator.policy.scoring_model import ScoringModel


@dataclass(frozen=True)
class Cost:
    """Weights that a token passes through: of the `trunk`, each token's; of the `head`, each response token's."""

    trunk: int
    head: int
    is_frozen: bool

    def flops(self, tokens: int, responses: int) -> int:
        """Useful floating-point operations of a step: two for a weight and a token, three times for the backward pass's sake.

        Twice where weights are frozen. Attention's own products, and whatever is computed again, do not count.
        """
        return (4 if self.is_frozen else 6) * (self.trunk * tokens + self.head * responses)


def experts_of(config: Any) -> int:
    """How many experts each layer chooses from for a token, by a text model's configuration; 0 where there are none."""
    return next((count for name in ("num_local_experts", "num_experts", "n_routed_experts") if (count := getattr(config, name, 0))), 0)


def trunk_of(model: Any) -> int:
    """The weights of the trunk of a causal language model: those of its decoder but for the embeddings."""
    embedding = model.get_input_embeddings().weight
    return sum(_count(weight) for weight in model.get_decoder().parameters() if weight is not embedding)


def cost_of(model: ScoringModel) -> Cost | None:
    """What a step costs; None for a mixture of experts, of which a token passes through a part. Ask before an engine spreads weights."""
    if experts_of(model.model.config.get_text_config()):
        return None
    return Cost(trunk_of(model.model), model.head.weight.numel(), not model.head.weight.requires_grad)


def _count(weight: torch.Tensor) -> int:
    """How many numbers a weight stands for: in four bits, bitsandbytes keeps several in one."""
    quantized = getattr(weight, "quant_state", None)
    return (weight if quantized is None else quantized).shape.numel()


@lru_cache(maxsize=1)
def peak_flops(device: torch.device) -> float:
    """Floating-point operations per second that the device is made for; where nobody states it, what a product of matrices reaches.

    On a processor that of bf16 or of fp32, whichever is faster.
    """
    if device.type == "cuda":
        known = known_gpu(torch.cuda.get_device_name(device))
        return known.flops if known is not None and known.flops else _reached(device, torch.bfloat16, 4096)
    return max(processor_flops().values())


def processor_flops() -> dict[str, float]:
    """Floating-point operations per second that a product of matrices reaches on this processor, by the settings' name of a precision."""
    # A small product of bf16: processors without instructions for it take a hundred times as long.
    device = torch.device("cpu")
    return {"fp32": _reached(device, torch.float32, 1024), "bf16": _reached(device, torch.bfloat16, 256)}


def _reached(device: torch.device, kind: torch.dtype, side: int) -> float:
    """Floating-point operations per second in the fastest of three products of two square matrices."""
    left, right = (torch.ones(side, side, dtype=kind, device=device) for _ in range(2))
    fastest = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        float((left @ right)[0, 0])
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * side**3 / fastest

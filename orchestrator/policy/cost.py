"""What a model must compute for a step, and what its device can."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from orchestrator.policy.scoring_model import ScoringModel

# Dense bf16 products of matrices per second, as the makers state them.
STATED = {"B200": 2250e12, "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}


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


def cost_of(model: ScoringModel) -> Cost | None:
    """What a step costs; None for a mixture of experts, of which a token passes through a part. Ask before an engine spreads weights."""
    config = model.model.config.get_text_config()
    if any(getattr(config, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        return None
    embedding = model.model.get_input_embeddings().weight
    trunk = sum(weight.numel() for weight in model.model.get_decoder().parameters() if weight is not embedding)
    return Cost(trunk, model.head.weight.numel(), not model.head.weight.requires_grad)


@lru_cache(maxsize=1)
def peak_flops(device: torch.device) -> float:
    """Floating-point operations per second that the device is made for; where nobody states it, what a product of matrices reaches.

    On a processor that of bf16 or of fp32, whichever is faster.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        stated = next((rate for part, rate in STATED.items() if part in name), None)
        if stated is not None:
            return stated
        return _reached(device, torch.bfloat16, 4096)
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

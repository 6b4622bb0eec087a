"""What a GPU must hold: of a training worker by ZeRO stage and token budget, of an engine by its weights and its cache.

Bytes by weight are those of mixed precision with Adam (Rajbhandari et al. 2020, arXiv:1910.02054, 3.1): 2 for the weight, 2 for its
gradient, 4 for the master weight and 8 for the two moments, of which ZeRO spreads some over the workers. Activations are counted
layer by layer for a decoder with gated feed-forward layers and attention that keeps no matrix of scores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from orchestrator.estimates.ranges import Range
from orchestrator.estimates.shape import Shape
from orchestrator.settings import TrainingSettings

GIB = float(2**30)
_QUANTIZED = 0.56  # Bytes a weight in four bits, with its constants.
_BUCKET = 5e8  # Gradients that DeepSpeed gathers before it sends them, and about as many weights that stage 3 keeps ready.
_SUB_GROUP = 1e9  # Weights of a worker that stage 3 updates at a time.
_LOGIT = 12  # Bytes of a logit, its gradient and its 16-bit copy, as the head holds them at once.
# Logits that the head makes at a time on a GPU, rows at least; and how many times as many a single pair may have: see policy/head.py.
AT_ONCE, FEWEST_ROWS, LONGEST_PAIR = 8 << 24, 128, 8
LIBRARIES = Range(0.8, 1.5, 3.0)  # GiB of the CUDA context, NCCL and the allocator's waste.
_AT_TIMES = {"starting", "scoring", "stepping", "resting"}
_ENGINE_WORK = 2.0  # GiB that an engine needs beside weights and cache.


@dataclass(frozen=True)
class TrainingMemory:
    """GiB on each worker's GPU while it trains, by what they are for.

    `starting` is the whole model, which each worker loads before ZeRO spreads it. `scoring` is what lies there while a whole copy of the
    reference gives the scores that are then kept; 0 where no copy is loaded. `stepping` lies there while the optimiser takes a step,
    `resting` while an engine that shares the GPU has its turn.
    """

    weights: float
    gradients: float
    optimiser: float
    activations: float
    head: float
    reference: float
    starting: float
    scoring: float
    stepping: float
    resting: float

    @property
    def parts(self) -> dict[str, float]:
        """What is held at the same time while it trains."""
        return {name: value for name, value in asdict(self).items() if name not in _AT_TIMES}

    @property
    def training(self) -> Range:
        """All of these parts, or what the optimiser's step holds where that is more, with what libraries take."""
        held = Range.exactly(sum(self.parts.values())) * Range(0.85, 1.0, 1.15) + LIBRARIES
        return held.largest(_with_libraries(self.stepping))

    @property
    def total(self) -> Range:
        """The most that is ever held, with what libraries take."""
        return self.training.largest(_with_libraries(self.starting), _with_libraries(self.scoring))

    def as_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        return {**asdict(self), "total": self.total.as_dict()}


@dataclass(frozen=True)
class EngineMemory:
    """GiB of an engine's share of each of its GPUs: `weights`, and the `cache` left for tokens; how many whole sequences all hold."""

    weights: float
    cache: float
    sequences: float

    def as_dict(self) -> dict[str, float]:
        """A JSON-ready form."""
        return asdict(self)


def training_memory(
    shape: Shape, training: TrainingSettings, workers: int, holds_reference: bool, scores_reference: bool, longest: float = 0.0
) -> TrainingMemory:
    """What each of `workers` holds at most; the `longest` pair's responses have so many tokens together.

    With `scores_reference` a copy of the reference model gives its scores before training, with `holds_reference`, as where methods compare
    logits, it stays.
    """
    stage = training.zero_stage
    size = 2 if training.precision == "bf16" else 4
    # Embeddings and the last layer are not quantized.
    weights = size * (shape.total - shape.trunk) + (_QUANTIZED if training.lora and training.lora.quantization else size) * shape.trunk
    gathered = 2 * size * min(shape.total, _BUCKET) if stage == 3 and workers > 1 else 0.0
    gradients = size * shape.trained / (workers if stage >= 2 else 1)
    bucket = size * min(shape.trained, _BUCKET) if workers > 1 else 0.0
    optimiser = (12 if training.precision == "bf16" else 8) * shape.trained / (workers if stage >= 1 else 1)
    spread = workers if stage == 3 else 1
    # The frozen reference is not ZeRO's to spread.
    reference = size * shape.total
    logits = _logits(shape, longest)
    # Where it is trained, the gradients by the head's weights are kept in 32 bits.
    head = logits + (0 if training.lora else 4 * shape.head)
    held = (weights / spread + gathered, gradients + bucket, optimiser, _activations(shape, training), head)
    # Stage 3 makes room for gradients at once, the others when there are any.
    beside = weights / spread + optimiser + (gradients + bucket if stage == 3 else 0.0)
    kept = reference if holds_reference else 0.0
    at_times = (weights, beside + reference + logits if scores_reference else 0.0, beside + kept + _stepping(shape, training, workers))
    return TrainingMemory(*(part / GIB for part in (*held, kept, *at_times, beside + kept)))


def engine_memory(shape: Shape, gpu: float, share: float, longest: int, gpus: int = 1) -> EngineMemory:
    """What an engine that may use `share` of each of its `gpus`, of `gpu` GiB, has for sequences of `longest` tokens."""
    weights = 2 * shape.total / gpus / GIB
    cache = gpu * share - weights - _ENGINE_WORK
    return EngineMemory(weights, cache, max(0.0, cache) * gpus * GIB / (shape.cache_bytes * longest))


def _with_libraries(held: float) -> Range:
    return Range.exactly(held) + LIBRARIES


def _stepping(shape: Shape, training: TrainingSettings, workers: int) -> float:
    """Bytes that an optimiser's step takes beside its state: gradients in 32 bits, and of each weight what torch's Adam divides by.

    DeepSpeed 0.19.8, runtime/zero/stage_1_and_2.py, stage3.py (which goes by groups) and fp16/unfused_optimizer.py; torch/optim/adam.py.
    """
    stage = training.zero_stage
    owned = shape.trained / (workers if stage >= 1 else 1)
    # Without ZeRO the gradients in 16 bits stay.
    kept = 2 * shape.trained if stage == 0 and training.precision == "bf16" else 0
    return 8 * (min(owned, _SUB_GROUP) if stage == 3 else owned) + kept


def _activations(shape: Shape, training: TrainingSettings) -> float:
    size = 2 if training.precision == "bf16" else 4
    # Inputs of the linear layers and what lies between them; norms keep their inputs in 32 bits.
    layer = size * (6 * shape.hidden + 2 * shape.key_values + 4 * shape.intermediate) + 16 * shape.hidden
    kept = size * shape.hidden * shape.layers + layer if training.gradient_checkpointing else layer * shape.layers
    return training.micro_batch_tokens / training.sequence_parallel * kept


def _logits(shape: Shape, longest: float) -> float:
    """The logits of one piece: of so many rows as are made at a time, or of one long pair."""
    vocabulary = shape.head / shape.hidden
    usual = max(FEWEST_ROWS, AT_ONCE / vocabulary)
    return _LOGIT * vocabulary * min(max(usual, longest), LONGEST_PAIR * usual)

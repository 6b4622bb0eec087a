"""How long the parts of a search take: from what GPUs are made for, or from steps that were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from orchestrator.estimates.amounts import Amounts
from orchestrator.estimates.memory import EngineMemory
from orchestrator.estimates.ranges import Range
from orchestrator.estimates.shape import Shape
from orchestrator.policy.gpus import Gpu
from orchestrator.settings import Settings

# The share of a GPU's stated rate that is useful work in training, and what decoding reaches of its memory's.
_EFFICIENCY, _DECODING = Range(0.2, 0.35, 0.45), Range(0.25, 0.5, 0.7)
_STARTING, _STARTING_A_TRIAL = Range(40, 120, 400), Range(5, 15, 40)
_WRITING = Range(0.3e9, 1e9, 2e9)  # Bytes a second of a checkpoint.
_MEASURED = Range(0.8, 1.0, 1.25)


@dataclass(frozen=True)
class Pace:
    """Seconds: of an optimiser step of all workers together, of writing a checkpoint, of a trial beyond both, of an answer of one engine.

    `starting` is how long engines and workers take to warm up; `source` says whence all this is known.
    """

    step: Range
    checkpoint: Range
    trial: Range
    answer: Range
    starting: Range
    source: str


@dataclass(frozen=True)
class Measured:
    """What a short run of the settings took on the cluster, in seconds: `steps` each, and all that came before and after them.

    `answers` were answered in `answering` seconds by one engine, after `starting`.
    """

    steps: tuple[float, ...]
    checkpoint: float
    trial: float
    answers: int
    answering: float
    starting: float


def stated(gpu: Gpu, settings: Settings, shape: Shape, amounts: Amounts, engine: EngineMemory | None) -> Pace | None:
    """From the makers' rates; None where they are not known."""
    if gpu.flops is None or gpu.bandwidth is None:
        return None
    training, workers = settings.training, settings.cluster.workers
    tokens, responses = (each * training.batch_size for each in (amounts.pair_tokens, amounts.response_tokens))
    # Two operations for a weight and a token, three times for the backward pass's sake, and once more where activations are made again.
    passes = (2 if training.lora else 3) + training.gradient_checkpointing
    flops = 2 * passes * (shape.active * shape.trunk * tokens + shape.head * responses)
    checkpoint = (16 if training.lora is None else 2) * shape.trained
    return Pace(
        step=_over(flops, _EFFICIENCY * (gpu.flops * workers)),
        checkpoint=_over(checkpoint, _WRITING),
        trial=_STARTING_A_TRIAL,
        answer=_answer(gpu.bandwidth, settings, shape, amounts, min(_sequences(gpu), engine.sequences if engine else math.inf)),
        starting=_STARTING,
        source=f"what an {gpu.name} is made for",
    )


def measured(found: Measured) -> Pace:
    """From a short run: the first step, which warms up, is left out where there are more."""
    steps = sorted(found.steps[1:] or found.steps)
    step = steps[len(steps) // 2]
    answer = found.answering / found.answers if found.answers else 0.0
    return Pace(
        step=_MEASURED * step,
        checkpoint=_MEASURED * found.checkpoint,
        trial=_MEASURED * found.trial,
        answer=_MEASURED * answer,
        starting=_MEASURED * found.starting,
        source=f"{len(found.steps)} steps and {found.answers} answers measured here",
    )


def measured_of(record: list[dict[str, Any]], took: float, answered: tuple[int, float, float]) -> Measured:
    """From the records of a short run that took so many seconds in all, and from how many answers came in how long, after what start."""
    seconds = tuple(step["telemetry"]["seconds"] for step in record)
    writing = record[-1]["telemetry"]["shares"].get("checkpoint", 0.0) * seconds[-1]
    return Measured(seconds, writing, max(0.0, took - sum(seconds)), *answered)


def _sequences(gpu: Gpu) -> int:
    """As many prompts as an engine answers at a time, if its cache has room for them (vLLM 0.32.0, vllm/engine/arg_utils.py)."""
    return 1024 if gpu.memory >= 160 or (gpu.memory >= 70 and "A100" not in gpu.name) else 256


def _answer(bandwidth: float, settings: Settings, shape: Shape, amounts: Amounts, room: float) -> Range:
    """Each token of all sequences together reads the weights once, and each sequence's own keys and values; `room` bounds their number."""
    length = min(float(settings.evaluation.longest), amounts.answer_tokens)
    together = max(1.0, min(room, amounts.prompts))
    read = 2 * shape.total / together + (amounts.prompt_tokens + length / 2) * shape.cache_bytes
    lengths = Range(length / 2, length, max(length, settings.evaluation.longest / 2))
    return lengths * _over(read, _DECODING * (settings.cluster.tensor_parallel * bandwidth))


def _over(amount: float, rate: Range) -> Range:
    """The time that an amount takes at a rate."""
    return Range(amount / rate.high, amount / rate.expected, amount / rate.low)

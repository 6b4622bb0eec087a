"""What stands against a plan: memory, disk and bounds that are too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.estimates.estimate import Estimate, Work
from orchestrator.estimates.memory import LIBRARIES, TrainingMemory
from orchestrator.settings import OpenAISettings, Settings


@dataclass(frozen=True)
class Obstacle:
    """Something that cannot be, or with `is_certain` false will probably not."""

    what: str
    where: str
    cure: str
    is_certain: bool = True


def obstacles(work: Work, found: Estimate, free_disk: float | None = None) -> Sequence[Obstacle]:
    """What stands against the plan on these GPUs, on a disk with so many GiB free, and within the settings' own bounds."""
    return [each for each in (*_too_large(work, found), *_too_dear(work.settings, found), _no_room(found, free_disk)) if each is not None]


def _too_large(work: Work, found: Estimate) -> list[Obstacle]:
    if work.gpu is None:
        return []
    listed = _workers_too_large(found.memory, work.gpu.memory) if found.memory is not None else []
    if found.engine is not None and found.engine.sequences < 1:
        what = f"beside {found.engine.weights:.0f} GiB of weights an engine's cache has no room for one whole sequence"
        cure = "set evaluation.max_model_len lower or evaluation.gpu_memory_utilization higher"
        listed.append(Obstacle(what, "[evaluation]", cure))
    if work.settings.cluster.turns and found.memory is not None:
        listed += _no_turn(found.memory, work.gpu.memory, work.settings.evaluation.gpu_memory_utilization)
    if (larger := work.gpu.larger) is None:
        return listed
    return [replace(each, cure=f"--gpu {larger}, if that is what they are; or else {each.cure}", is_certain=False) for each in listed]


def _no_turn(memory: TrainingMemory, gpu: float, share: float) -> list[Obstacle]:
    """An engine takes its whole share of the GPU whenever it is woken (vllm/v1/worker/utils.py, request_memory)."""
    rests, takes = memory.resting + LIBRARIES.low, share * gpu
    if rests + takes <= gpu:
        return []
    what = f"a worker at rest holds {rests:.0f} GiB of the GPU that it shares, an engine takes {takes:.0f}, and the GPU has {gpu:.0f}"
    cure = "lower evaluation.gpu_memory_utilization, or set turns = false, with GPUs of their own for engines"
    return [Obstacle(what, "cluster.turns", cure)]


def _workers_too_large(memory: TrainingMemory, gpu: float) -> list[Obstacle]:
    """The first thing that a worker does for which its GPU is too small."""
    begins, trains, scores = memory.starting, memory.training, memory.scoring
    least, has = LIBRARIES.low, f"and a GPU has {gpu:.0f}"
    if begins + least > gpu:
        what = f"each worker begins with the whole model, {begins:.0f} GiB, before it is spread over the workers, {has}"
        return [Obstacle(what, "model.base", "GPUs with more memory, a smaller model, or training.lora.quantization")]
    if trains.expected > gpu:
        what = f"a worker needs about {trains.expected:.0f} GiB ({trains.low:.0f}-{trains.high:.0f}) {has}"
        cure = "a higher zero_stage, more workers, gradient_checkpointing, fewer micro_batch_tokens, or [training.lora]"
        return [Obstacle(what, "[training]", cure, trains.low > gpu)]
    if scores + least > gpu:
        what = f"a worker holds {scores:.0f} GiB while a copy of the reference gives the scores that are not in the cache yet, {has}"
        cure = "[training.lora], whose reference is the policy without it, zero_stage = 3 with more workers, or GPUs with more memory"
        return [Obstacle(what, "[training]", cure, is_certain=False)]
    return []


def _too_dear(settings: Settings, found: Estimate) -> list[Obstacle]:
    """Bounds that are below what is expected: the search would end early."""
    names = ("hours", "gpu_hours", "judgments", "cost")
    bounds = [(f"budget.{name}", getattr(settings.budget, name), getattr(found, name)) for name in names]
    for where, asked in found.judges.items():
        judge = settings.judge if where == "judge" else settings.finals.judge
        if isinstance(judge, OpenAISettings):
            bounds += [(f"{where}.max_requests", judge.max_requests, asked.calls), (f"{where}.max_cost", judge.max_cost, asked.cost)]
    return [
        Obstacle(f"{where} is {bound:g} and about {need.expected:,.4g} are needed: the search would end early", where, "raise it", False)
        for where, bound, need in bounds
        if bound is not None and need is not None and need.expected > bound
    ]


def _no_room(found: Estimate, free: float | None) -> Obstacle | None:
    if free is None or found.disk.expected <= free:
        return None
    what = f"checkpoints take about {found.disk.expected:.1f} GiB at the most and {free:.1f} are free"
    return Obstacle(what, "--dir", "give a directory on a larger disk, or fewer checkpoints or trials", found.disk.low > free)

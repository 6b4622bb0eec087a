"""The estimate of a whole search: what it will take, and what of it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.estimates.amounts import Amounts
from orchestrator.estimates.effort import Effort, effort
from orchestrator.estimates.judging import Asked, asked_judges
from orchestrator.estimates.memory import GIB, EngineMemory, TrainingMemory, engine_memory, training_memory
from orchestrator.estimates.pace import Pace
from orchestrator.estimates.ranges import Range
from orchestrator.estimates.shape import Shape
from orchestrator.objectives import method_named
from orchestrator.policy.gpus import Gpu
from orchestrator.search.clock import HOUR
from orchestrator.search.plan import SearchPlan
from orchestrator.settings import Settings

# So many times the average are the responses of a set's longest pair, about.
_LONGEST = 3


@dataclass(frozen=True)
class Work:
    """What is known before: the model, the data and the rungs of the settings, how many trials; GPUs and speed where they are known."""

    settings: Settings
    shape: Shape
    amounts: Amounts
    plan: SearchPlan
    trials: int
    gpu: Gpu | None = None
    pace: Pace | None = None


@dataclass(frozen=True)
class Estimate:
    """What a search will take. Memory in GiB, None without GPUs; time in hours, None where no speed is known; disk in GiB.

    `steps` are those of a whole trial, `checkpoints` those that all trials train to before the finals; `judgments` are all verdicts and
    `calls` what language models are asked for them; `cost` is in the currency of the judges' prices, None without any. `judges` are what
    each judge has of both, by its place in the settings.
    """

    steps: int
    checkpoints: Range
    judgments: Range
    calls: Range
    cost: Range | None
    disk: Range
    memory: TrainingMemory | None
    engine: EngineMemory | None
    hours: Range | None
    gpu_hours: Range | None
    parts: Mapping[str, Range] = field(default_factory=dict)
    judges: Mapping[str, Asked] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        plain = asdict(self)
        return plain | {"memory": self.memory.as_dict() if self.memory else None}


def estimated(work: Work) -> Estimate:
    """The estimate of a search."""
    settings, plan = work.settings, work.plan
    toil = effort(settings, plan, work.trials)
    judgments = toil.judgments + toil.finals_judgments + Range.exactly(toil.base_judgments)
    judges = asked_judges(settings, work.amounts, plan, toil)
    first, *others = judges.values()
    asked = sum(others, first)
    parts = _hours(work, toil, judgments, asked.seconds) if work.pace is not None else {}
    hours = _wall(settings, parts) if parts else None
    return Estimate(
        steps=settings.training.total_steps(work.amounts.pairs),
        checkpoints=toil.checkpoints,
        judgments=judgments,
        calls=asked.calls,
        cost=asked.cost,
        disk=_disk(work, plan),
        memory=_memory(work),
        engine=engine_of(work),
        hours=hours,
        gpu_hours=hours * plan.gpus if hours is not None and plan.gpus else None,
        parts=parts,
        judges=judges,
    )


def _memory(work: Work) -> TrainingMemory | None:
    settings = work.settings
    if not settings.cluster.gpus_per_worker:
        return None
    needs = [method_named(name)().needs for name in settings.search.arms]
    model = settings.model
    # An adapter's reference is the policy without it, where that is the base model.
    main = settings.training.lora is None or any(name != model.base for name in model.reference)
    further = bool(model.references) and any(each.extra_references for each in needs)
    holds = main and any(each.reference_logits for each in needs)
    # Plain DPO always competes, and is compared with the main one.
    longest = min(2 * settings.data.context, _LONGEST * work.amounts.response_tokens)
    return training_memory(work.shape, settings.training, settings.cluster.workers, holds, main or further, longest)


def engine_of(work: Work) -> EngineMemory | None:
    """What an engine has room for; None without GPUs, or where it is not known which."""
    evaluation = work.settings.evaluation
    if work.gpu is None or not work.settings.cluster.gpus_per_engine:
        return None
    longest = evaluation.max_model_len or work.shape.positions or evaluation.max_tokens
    return engine_memory(work.shape, work.gpu.memory, evaluation.gpu_memory_utilization, longest, work.settings.cluster.tensor_parallel)


def _disk(work: Work, plan: SearchPlan) -> Range:
    """The most that lies on it: models that ended trials keep, whole checkpoints of those that train, scores of the reference."""
    settings, shape = work.settings, work.shape
    size = 2 if settings.training.precision == "bf16" else 4
    model = size * shape.trained
    count, most = plan.rungs[-1].checkpoint, work.trials + plan.final_runs
    state = (size + (12 if size == 2 else 8)) * shape.trained
    training = settings.cluster.gangs * (count * model + 2 * state)
    cache = 4 * work.amounts.response_tokens * work.amounts.pairs
    ended = Range(most, most * min(2, count) * 0.9, most * min(2, count))
    return (ended * model + Range.exactly(training + cache)) * (1 / GIB)


def _hours(work: Work, toil: Effort, judgments: Range, judging: Range) -> dict[str, Range]:
    """Of training, answering and judging, each over all that works side by side."""
    settings, pace = work.settings, work.pace
    assert pace is not None
    steps = settings.training.total_steps(work.amounts.pairs) / work.plan.rungs[-1].checkpoint
    checkpoint = pace.step * steps + pace.checkpoint
    # More worker groups than there are runs have nothing to do.
    training = Range.exactly(0)
    for checkpoints, runs in ((toil.checkpoints, work.trials), (toil.finals_checkpoints, work.plan.final_runs)):
        training += (checkpoints * checkpoint + pace.trial * runs) * (1 / max(1, min(settings.cluster.gangs, runs)))
    answering = pace.answer * judgments
    return {
        "training": training * (1 / HOUR),
        "answering": answering * (1 / (settings.cluster.engines * HOUR)),
        "judging": judging * (1 / HOUR),
        "starting": pace.starting * (1 / HOUR),
    }


def _wall(settings: Settings, parts: Mapping[str, Range]) -> Range:
    """Training, answering and judging go on side by side; on shared GPUs training and answering take turns."""
    training, answering, judging, starting = (parts[name] for name in ("training", "answering", "judging", "starting"))
    if settings.cluster.turns:
        return starting + (training + answering).largest(judging)
    beside = training.largest(answering, judging)
    together = training + answering + judging
    # What is left to score when the last trial is trained, and finals that wait for scores, are not side by side.
    return starting + Range(beside.low, (beside.expected + together.expected) / 2, together.high)

"""What is known before a search begins, from its settings and, where it is joined, the cluster."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.cluster.placement import held_gpus
from orchestrator.cluster.runs.measuring import measure
from orchestrator.cluster.session import ray_session
from orchestrator.cluster.surveying import seen_gpu
from orchestrator.errors import ModelError
from orchestrator.estimates.amounts import Amounts, amounts_of, measured_amounts, sampled
from orchestrator.estimates.estimate import Estimate, Work, engine_of, estimated
from orchestrator.estimates.pace import Pace, measured, stated
from orchestrator.estimates.shape import Shape, shape_of
from orchestrator.output import screen_kept_from
from orchestrator.policy.gpus import Gpu
from orchestrator.run_files import RunFiles
from orchestrator.search.grid import planned_trials
from orchestrator.search.plan import SearchPlan, make_plan
from orchestrator.settings import Settings


def planned(settings: Settings, gpu: Gpu | None, measuring: Path | None = None) -> Work:
    """All that is known of a search whose world is made, on such GPUs. With `measuring` some steps are taken there.

    Raises as training does for data and models that cannot be used, ClusterError for a cluster without room for what is to be measured.
    """
    assert settings.model.base is not None
    amounts, shape = amounts_of(settings), shape_of(settings.model.base, settings.training)
    plan = make_plan(settings, amounts.pairs, foreseen_gpus(settings, gpu), amounts.prompts, amounts.held_out)
    if measuring is None:
        return work_of(settings, shape, amounts, plan, gpu)
    with screen_kept_from(RunFiles(measuring).log("driver")), ray_session(settings.cluster, measuring):
        gpu = gpu or seen_gpu()
        pace = measured(measure(settings, measuring))
    return work_of(settings, shape, amounts, plan, gpu, pace)


def foreseen_gpus(settings: Settings, gpu: Gpu | None) -> float:
    """GPUs that a search will hold: a model that leaves their number open gets one where the settings give some, or their kind is known."""
    cluster = settings.cluster
    return held_gpus(settings, default=float(gpu is not None or cluster.gpus_per_worker > 0 or cluster.gpus_per_engine > 0))


def work_of(settings: Settings, shape: Shape, amounts: Amounts, plan: SearchPlan, gpu: Gpu | None, pace: Pace | None = None) -> Work:
    """With what such GPUs are made for, where nothing is measured."""
    work = Work(settings, shape, amounts, plan, planned_trials(settings), gpu, pace)
    if pace is not None or gpu is None or not settings.cluster.gpus_per_worker:
        return work
    return replace(work, pace=stated(gpu, settings, shape, amounts, engine_of(work)))


def expected(settings: Settings, inputs: Any, plan: SearchPlan) -> Estimate | None:
    """The estimate of a search that is about to begin on the joined cluster, with these inputs; None for a model that defies it."""
    assert settings.model.base is not None
    amounts = measured_amounts(settings.evaluation, sampled(inputs.pairs), plan.pairs)
    try:
        shape = shape_of(settings.model.base, settings.training)
    except ModelError:
        return None
    return estimated(work_of(settings, shape, amounts, plan, seen_gpu()))

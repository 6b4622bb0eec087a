"""What a search will do, worked out before it begins: rungs, the order of prompts, what the finals will need."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from evals.prompts import PromptSet
from orchestrator.search.racing import Rules, Rung, last_rungs, nested_order, rungs
from orchestrator.settings import Settings


@dataclass(frozen=True)
class SearchPlan:
    """`pairs` are trained on; `gpus` are held; the finals take `final_runs` trainings, `gangs` at a time, and `final_judgments` verdicts.

    It begins with `first_gangs`, which hold `first_gpus` together with engines and judges; 0 groups stand for all. `origin` tells how the
    session was started: see `orchestrator.search.origin`; `inputs` are hashes of what it read, by the settings' keys.
    """

    rungs: tuple[Rung, ...]
    pairs: int
    gpus: float = 0.0
    final_runs: int = 0
    final_judgments: int = 0
    gangs: int = 1
    first_gangs: int = 0
    first_gpus: float = 0.0
    origin: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)

    @staticmethod
    def of(event: Mapping[str, Any]) -> "SearchPlan":
        """Invert `as_dict`."""
        told = {each.name: event[each.name] for each in fields(SearchPlan) if each.name in event}
        return SearchPlan(**{**told, "rungs": tuple(Rung(**rung) for rung in event["rungs"])})


def make_plan(settings: Settings, pairs: int, gpus: float, prompts: int, held_out: int) -> SearchPlan:
    """The plan of a search on so many pairs and prompts, `held_out` of them fresh."""
    search, finals = settings.search, settings.finals
    laid = rungs(len(settings.training.checkpoint_steps(pairs)), prompts, search.prompt_growth)
    laid = laid if search.scheduler == "racing" else last_rungs(laid)
    plan = SearchPlan(laid, pairs, gpus, gangs=settings.cluster.gangs)
    finalists = finals.finalists + 1
    return (
        replace(plan, final_runs=finalists * (finals.seeds - 1), final_judgments=finalists * finals.seeds * held_out) if held_out else plan
    )


def race_rules(settings: Settings, plan: SearchPlan) -> Rules:
    """The rules of the settings' race."""
    search = settings.search
    return Rules(plan.rungs, search.trials, search.error_rate, search.margin, search.doubt)


def in_order(prompts: PromptSet, seed: int) -> PromptSet:
    """The same prompts in the order in which all trials answer them."""
    order = nested_order([prompt.stratum for prompt in prompts.prompts], seed)
    return replace(prompts, prompts=tuple(prompts.prompts[number] for number in order))

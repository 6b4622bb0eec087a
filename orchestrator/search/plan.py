"""What a search will do, worked out before it begins: rungs, the order of prompts, what the finals will need."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from typing import Any

from evals.prompts import PromptSet
from orchestrator.errors import SettingsError
from orchestrator.search.goal import asked
from orchestrator.search.ledger import Events
from orchestrator.search.racing import Rules, Rung, last_rungs, nested_order, rungs
from orchestrator.search.trial import TRAINING, training_ranges
from orchestrator.settings import Settings, TrainingSettings
from orchestrator.settings.search import CONTROL

# What decides how many steps a trial takes, and so how many checkpoints it can have.
_OF_STEPS = ("batch_size", "epochs", "steps")


@dataclass(frozen=True)
class SearchPlan:
    """`pairs` are trained on; `gpus` are held; the finals take `final_runs` trainings, `gangs` at a time, and `final_judgments` verdicts.

    A verdict of theirs is paid `final_price` times what one of the search is.
    It begins with `first_gangs`, which hold `first_gpus` together with engines and judges; 0 groups stand for all. `origin` tells how the
    session was started: see `orchestrator.search.origin`; `inputs` are hashes of what it read, by the settings' keys.
    """

    rungs: tuple[Rung, ...]
    pairs: int
    gpus: float = 0.0
    final_runs: int = 0
    final_judgments: int = 0
    final_price: float = 1.0
    gangs: int = 1
    first_gangs: int = 0
    first_gpus: float = 0.0
    origin: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)

    def left_for_finals(self, events: Events) -> tuple[int, int, float]:
        """Trainings and verdicts that the finals still need, and the price of a verdict; those that the ledger has are spent already."""
        runs = {event["trial"] for event in events.of("trial") if "until" in event}
        trained = sum(event["trial"] in runs for event in events.of("end"))
        judged = sum(asked(event) for event in events.of("held_out")) + sum(event["asked"] for event in events.left_out)
        return max(0, self.final_runs - trained), max(0, self.final_judgments - judged), self.final_price

    @staticmethod
    def of(event: Mapping[str, Any]) -> "SearchPlan":
        """Invert `as_dict`."""
        told = {each.name: event[each.name] for each in fields(SearchPlan) if each.name in event}
        return SearchPlan(**{**told, "rungs": tuple(Rung(**rung) for rung in event["rungs"])})


def make_plan(settings: Settings, pairs: int, gpus: float, prompts: int, held_out: int) -> SearchPlan:
    """The plan of a search on so many pairs and prompts, `held_out` of them fresh.

    Raises DataFormatError for a batch that the pairs do not fill, SettingsError where not all trials have equally many checkpoints.
    """
    search, finals = settings.search, settings.finals
    laid = rungs(_checkpoints(settings, pairs), prompts, search.prompt_growth)
    laid = laid if search.scheduler == "racing" else last_rungs(laid)
    plan = SearchPlan(laid, pairs, gpus, gangs=settings.cluster.gangs)
    # Plain DPO may be among the finalists by itself, beside those of another method.
    finalists = min(search.trials, finals.finalists + (search.arms != (CONTROL,)))
    if not held_out:
        return plan
    judgments = finalists * finals.seeds * held_out
    return replace(plan, final_runs=finalists * (finals.seeds - 1), final_judgments=judgments, final_price=_final_price(settings))


def _final_price(settings: Settings) -> float:
    """What a verdict of the finals' judge is paid, in those of the search's; what is asked of them is about as long. 1 where it is free."""
    search, finals = settings.judge.price, (settings.finals.judge or settings.judge).price
    return finals / search if search else 1.0


def _checkpoints(settings: Settings, pairs: int) -> int:
    """How many checkpoints each trial has, under whatever settings are searched: they are compared at one after another.

    More steps give no fewer checkpoints, so that the ends of ranges tell of all that lies between them.
    """
    counts = {}
    for ranges in (training_ranges(settings.search, method) for method in settings.search.arms):
        for chosen in product(*([(key, value) for value in ranges[key].ends] for key in _OF_STEPS if key in ranges)):
            training = TrainingSettings.model_validate(settings.training.model_dump() | dict(chosen))
            counts[", ".join(f"{TRAINING}.{key} = {value:g}" for key, value in chosen)] = len(training.checkpoint_steps(pairs))
    fewest, most = (which(counts, key=counts.__getitem__) for which in (min, max))
    if counts[fewest] < counts[most]:
        what = f"trials are compared at their checkpoints: {most} leaves {counts[most]} on {pairs} pairs, and {fewest} {counts[fewest]}"
        cure = f"set training.checkpoints = {counts[fewest]}, or search values under which there are {settings.training.checkpoints} steps"
        raise SettingsError(what, f"search.space.{TRAINING}", f"{cure} or more")
    return counts[most]


def race_rules(settings: Settings, plan: SearchPlan) -> Rules:
    """The rules of the settings' race."""
    search = settings.search
    return Rules(plan.rungs, search.trials, search.error_rate, search.margin, search.doubt)


def in_order(prompts: PromptSet, seed: int) -> PromptSet:
    """The same prompts in the order in which all trials answer them."""
    order = nested_order([prompt.stratum for prompt in prompts.prompts], seed)
    return replace(prompts, prompts=tuple(prompts.prompts[number] for number in order))

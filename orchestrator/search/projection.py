"""How far a search is, and what it will have taken when it is over, as things go."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.search.budget import Meter, Spent, kept_back
from orchestrator.search.ledger import Events
from orchestrator.search.plan import SearchPlan


@dataclass(frozen=True)
class Projection:
    """Trials that joined, that are over and that were `planned` (None where that is not known), and what was spent.

    `final_scores` counts what the finals have scored, in which there is one run for each finalist and seed. `expected` is the whole
    search with its finals, at the rate of what is over; None before a trial is.
    """

    joined: int
    over: int
    planned: int | None
    in_finals: bool
    spent: Spent
    final_scores: int = 0
    expected: Spent | None = None

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def projected(events: Events, planned: int | None, now: float) -> Projection:
    """Where the search of these events stands at the time `now`."""
    meter = Meter(events)
    spent, in_finals, over = meter.spent(now), events.within_finals, events.over
    joined = len(events.trials) - events.gave_way
    found = Projection(joined, over, planned, in_finals, spent, len(events.of("held_out")))
    begun = events.last("begin")
    if begun is None or in_finals or not over or planned is None:
        return found
    plan, share = SearchPlan.of(begun), max(planned, over) / over
    whole = Spent(spent.hours * share, spent.gpu_hours * share, round(spent.judgments * share), spent.cost * share)
    return replace(found, expected=whole.plus(kept_back(meter, plan.final_runs, plan.final_judgments, plan.final_price)))

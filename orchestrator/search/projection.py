"""How far a search is, and what it will have taken when it is over, as things go."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.search.budget import Meter, Spent, kept_back
from orchestrator.search.ledger import Event, ended_in_search, gave_way, trials_of_search, within_finals
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


def projected(events: Sequence[Event], planned: int | None, now: float) -> Projection:
    """Where the search of these events stands at the time `now`."""
    meter = Meter(events)
    spent, in_finals, over = meter.spent(now), within_finals(events), ended_in_search(events)
    joined = len(trials_of_search(events)) - gave_way(events)
    found = Projection(joined, over, planned, in_finals, spent, sum(event["event"] == "held_out" for event in events))
    begun = next((event for event in reversed(events) if event["event"] == "begin"), None)
    if begun is None or in_finals or not over or planned is None:
        return found
    plan, share = SearchPlan.of(begun), max(planned, over) / over
    whole = Spent(spent.hours * share, spent.gpu_hours * share, round(spent.judgments * share), spent.cost * share)
    return replace(found, expected=whole.plus(kept_back(meter, plan.final_runs, plan.final_judgments, plan.final_price)))

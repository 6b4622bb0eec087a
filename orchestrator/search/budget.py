"""What a search has spent, what that leaves, and what it saved."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.search.clock import HOUR
from orchestrator.search.goal import asked
from orchestrator.search.ledger import JUDGED, Event, Events
from orchestrator.settings import BudgetSettings


@dataclass(frozen=True)
class Spent:
    """Wall time and the time of all GPUs that were held, in hours; verdicts that were asked for; what the judge was paid."""

    hours: float = 0.0
    gpu_hours: float = 0.0
    judgments: int = 0
    cost: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        return Spent(*(getattr(self, name) + getattr(other, name) for name in self.as_dict()))


class Meter:
    """Adds up what the ledger tells. Time runs from the beginning of each session, a start of the search, to its last event."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._past, self._began, self._latest = Spent(), 0.0, 0.0
        self._session: Event = {}
        self._joined: set[str] = set()
        self._most_gangs = 1
        self._asked: dict[tuple[str, Any], tuple[int, float]] = {}
        self._handed_out: dict[str, float] = {}
        self._took: dict[str, float] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Count one event."""
        if event["event"] == "begin":
            self._past = self.spent(self._latest)
            self._began, self._session = event["time"], event
            self._handed_out.clear()
            self._joined.clear()
            self._most_gangs = max(self._most_gangs, self.gangs)
        if event["event"] in JUDGED:
            self._judged(event, asked(event), event["scorecard"].get("cost", 0.0))
        if event["event"] == "unreadable":
            self._judged(event, event["asked"], event["cost"])
        if event["event"] == "attempt":
            self._join(event)
            self._handed_out[event["trial"]] = event["time"]
        if event["event"] == "trained" and event["trial"] in self._handed_out:
            took = event["time"] - self._handed_out.pop(event["trial"])
            self._took[event["trial"]] = self._took.get(event["trial"], 0.0) + took
        self._latest = event["time"]

    @property
    def training_hours(self) -> float:
        """The longest time that worker groups were busy with a trial, each from being handed it to giving it back."""
        return max(self._took.values(), default=0.0) / HOUR

    @property
    def cost_of_judgment(self) -> float:
        """What the judge was paid for a verdict, on average."""
        return self._past.cost / self._past.judgments if self._past.judgments else 0.0

    @property
    def gpus(self) -> float:
        """How many GPUs the search holds; those of a worker group that came after the beginning count from its first trial."""
        return self.gpus_of(self.gangs)

    def gpus_of(self, gangs: int) -> float:
        """How many GPUs the search holds with so many worker groups."""
        most, first = (self._session.get(key, 0.0) for key in ("gpus", "first_gpus"))
        later = self._session.get("gangs", 1) - self._first_gangs
        return first + (most - first) * (gangs - self._first_gangs) / later if later else most

    @property
    def gangs(self) -> int:
        """How many worker groups the search has by now."""
        return max(self._first_gangs, len(self._joined))

    @property
    def most_gangs(self) -> int:
        """How many worker groups the search has had at most, in any session: one that is resumed gets those that come later back.

        They are no more than this session may have.
        """
        return min(self._most_gangs, self._session.get("gangs", self._most_gangs))

    def spent(self, now: float) -> Spent:
        """All that was spent until the time `now`."""
        hours = max(0.0, now - self._began) / HOUR if self._began else 0.0
        return replace(self._past, hours=self._past.hours + hours, gpu_hours=self._past.gpu_hours + hours * self.gpus)

    @property
    def _first_gangs(self) -> int:
        return self._session.get("first_gangs") or self._session.get("gangs", 1)

    def _join(self, event: Event) -> None:
        if self._began and event["gang"] not in self._joined:
            self._past, self._began = self.spent(event["time"]), event["time"]
            self._joined.add(event["gang"])
            self._most_gangs = max(self._most_gangs, self.gangs)

    def _judged(self, event: Event, judged: int, cost: float) -> None:
        """A checkpoint's later score holds the verdicts of its earlier ones, which were asked for once."""
        key = (event.get("run", event.get("trial", "")), event.get("step", event["event"]))
        before = self._asked.get(key, (0, 0.0))
        self._asked[key] = (judged, cost)
        self._past = replace(self._past, judgments=self._past.judgments + judged - before[0], cost=self._past.cost + cost - before[1])


def kept_back(meter: Meter, runs: int, judgments: int, price: float = 1.0) -> Spent:
    """What the finals will take: `runs` trainings, as many at a time as there were worker groups at most, and their verdicts.

    Each training is expected to be as long as the longest so far, and each verdict to cost `price` times what they did.
    """
    hours = math.ceil(runs / meter.most_gangs) * meter.training_hours
    return Spent(hours, hours * meter.gpus_of(meter.most_gangs), judgments, judgments * price * meter.cost_of_judgment)


def exhausted(budget: BudgetSettings, spent: Spent) -> str | None:
    """The bound that `spent` would overstep, in words; None when it is within all of them, which a sum that is no number is not."""
    for name, unit in (("gpu_hours", "GPU-hours"), ("hours", "hours"), ("judgments", "judgments"), ("cost", "of the judge's cost")):
        bound, used = getattr(budget, name), getattr(spent, name)
        if bound is not None and not used <= bound:
            return f"the budget of {bound:,.12g} {unit} is spent"
    return None


@dataclass(frozen=True)
class Saved:
    """What the search did without, against training all trials to their end and judging all their checkpoints on all prompts: in shares."""

    judgments: float
    checkpoints: float


def saved(events: Events) -> Saved | None:
    """None before the search began."""
    begun, trials = events.last("begin"), events.trials
    if begun is None:
        return None
    checkpoints, prompts = begun["rungs"][-1]["checkpoint"], begun["rungs"][-1]["prompts"]
    # A run that takes up another's training takes the place of the one that it ends.
    whole = max(1, (len(trials) - events.gave_way) * checkpoints)
    judgments = Meter(event for event in events if event.get("trial") in trials and "run" not in event).spent(0.0).judgments
    return Saved(1 - judgments / (whole * prompts), 1 - len(events.reached) / whole)

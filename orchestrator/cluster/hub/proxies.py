"""Cheaper measures than the judge, at each checkpoint's first rung: taken by their own actors, and what the ladder decides by them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.cluster.asking import patiently
from orchestrator.cluster.hub.scoring import Answered
from orchestrator.cluster.session import find_actor
from orchestrator.search.board import Board
from orchestrator.search.ladder import Action, Decision, Measure, figures, may_prune, prune
from orchestrator.search.ledger import Events
from orchestrator.settings import LadderSettings
from orchestrator.settings.ladder import ProxyName


def actor_name(proxy: ProxyName) -> str:
    """The name of the actor that takes a measure."""
    return f"proxy-{proxy}"


@dataclass(frozen=True)
class Ruling:
    """What the ladder decided about a checkpoint by one of its measures; one that `is_known` was decided before, and is in the ledger."""

    rung: Measure
    value: float | None
    decision: Decision
    is_known: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        told = {"action": str(self.decision.action), "reason": self.decision.reason}
        return {"rung": str(self.rung), "value": self.value, **told}


class Proxies:
    """Remembers what each measure said of each trial's checkpoints. Rebuilt from the ledger."""

    def __init__(self, settings: LadderSettings, events: Events) -> None:
        self._settings = settings
        self._actors = {name: find_actor(actor_name(name)) for name in settings.rungs if name != "validation"}
        self._values: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
        self._below: dict[str, int] = defaultdict(int)
        self._ruled: dict[tuple[str, int, str], Ruling] = {}
        for event in events.of("ladder"):
            decision = Decision(Action(event["action"]), event["reason"])
            self._rule(event["checkpoint_number"], event["trial"], Ruling(Measure(event["rung"]), event["value"], decision))

    async def measure(self, answered: Answered) -> dict[str, float]:
        """Each model's win rate of the answers over the base model's, in percent; without one where none could be read."""
        found = {}
        for name, actor in self._actors.items():
            verdicts, _ = await patiently(actor.judge, answered.matches)
            readable = [verdict.candidate_score for verdict in verdicts if verdict.candidate_score is not None]
            if readable:
                found[name] = 100 * sum(readable) / len(readable)
        return found

    def decide(self, trial: str, checkpoint: int, told: Mapping[str, Any], proxies: Mapping[str, float], board: Board) -> Iterator[Ruling]:
        """One ruling for each measure, the cheapest first, where measures may prune at all; `checkpoint` counts from 1.

        What was decided of this checkpoint before its verdicts were interrupted is decided still.
        """
        if not self._settings.prune:
            return
        events = [event for record in board.records.values() for event in record.history]
        for name in self._settings.rungs:
            if (known := self._ruled.get((name, checkpoint, trial))) is not None:
                yield replace(known, is_known=True)
                continue
            value = told.get("validation_accuracy") if name == "validation" else proxies.get(name)
            self._note(name, checkpoint, trial, value)
            trust = may_prune(figures(events, Measure(name)), self._settings)
            decision = prune(trust, self._values[name, checkpoint], trial, self._settings, self._below[name])
            ruling = Ruling(Measure(name), value, decision)
            self._rule(checkpoint, trial, ruling)
            yield ruling

    def _rule(self, checkpoint: int, trial: str, ruling: Ruling) -> None:
        """Remember a ruling; of one that the ledger has twice, the first."""
        name = str(ruling.rung)
        self._note(name, checkpoint, trial, ruling.value)
        if (name, checkpoint, trial) not in self._ruled:
            self._ruled[name, checkpoint, trial] = ruling
            self._below[name] += ruling.decision.is_below

    def _note(self, rung: str, checkpoint: int, trial: str, value: float | None) -> None:
        if value is not None:
            self._values[rung, checkpoint][trial] = value

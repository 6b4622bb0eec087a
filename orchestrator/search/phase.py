"""Where a search stands, in words, by its events and its settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.search.goal import Goal
from orchestrator.search.kept import setting
from orchestrator.search.ledger import Event, since_begin, trials_of_search
from orchestrator.search.verdict import finalists

FINISHED = "finished"


def phase_of(events: Sequence[Event], settings: Mapping[str, Any]) -> str:
    """What the ledger's last events say that the search is at; `settings` are those of settings.json, empty where they are not known."""
    if fatal := [event for event in since_begin(events) if event["event"] == "fatal"]:
        return f"ended by an error: {fatal[-1]['what']}"
    if _of_kind(events, "finals"):
        return FINISHED if _finals_are_over(events, settings) else "in the finals"
    search, planned = trials_of_search(events), setting(settings, "search", "trials")
    over = sum(event["trial"] in search for event in _of_kind(events, "end"))
    if planned is not None and over >= planned:
        has_finals = setting(settings, "evaluation", "held_out") or setting(settings, "finals", "capability")
        return "about to play the finals" if has_finals else FINISHED
    return "searching" if events else "nothing measured yet"


def _finals_are_over(events: Sequence[Event], settings: Mapping[str, Any]) -> bool:
    """Whether every run of every finalist is scored, or ended without a score."""
    if any(event.get("finals") for event in _of_kind(events, "spent")):
        return True
    rows = finalists(events, Goal(), setting(settings, "finals", "finalists") or 0)
    search = trials_of_search(events)
    lost = [end for end in _of_kind(events, "end") if end["trial"] not in search and end["status"] != "completed"]
    played = len(_of_kind(events, "held_out")) + len(lost)
    is_played = not setting(settings, "evaluation", "held_out") or played >= len(rows) * (setting(settings, "finals", "seeds") or 1)
    return is_played and (not setting(settings, "finals", "capability") or len(_of_kind(events, "capability")) > len(rows))


def _of_kind(events: Sequence[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event"] == kind]

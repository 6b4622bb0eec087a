"""Where a search stands, in words, by its events and its settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.search.goal import Goal
from orchestrator.search.ledger import Event, since_begin
from orchestrator.search.verdict import finalists

FINISHED = "finished"


def phase_of(events: Sequence[Event], settings: Mapping[str, Any]) -> str:
    """What the ledger's last events say that the search is at; `settings` are those of settings.json, empty where they are not known."""
    if fatal := [event for event in since_begin(events) if event["event"] == "fatal"]:
        return f"ended by an error: {fatal[-1]['what']}"
    if _of_kind(events, "finals"):
        return FINISHED if _finals_are_over(events, settings) else "in the finals"
    trials = {event["trial"] for event in _of_kind(events, "trial") if "until" not in event}
    over, planned = sum(event["trial"] in trials for event in _of_kind(events, "end")), _setting(settings, "search", "trials")
    if planned is not None and over >= planned:
        has_finals = _setting(settings, "evaluation", "held_out") or _setting(settings, "finals", "capability")
        return "about to play the finals" if has_finals else FINISHED
    return "searching" if events else "nothing measured yet"


def _finals_are_over(events: Sequence[Event], settings: Mapping[str, Any]) -> bool:
    """Whether every run of every finalist is scored, or ended without a score."""
    if any(event.get("finals") for event in _of_kind(events, "spent")):
        return True
    rows = finalists(events, Goal(), _setting(settings, "finals", "finalists") or 0)
    of_finals = {event["trial"] for event in _of_kind(events, "trial") if "until" in event}
    lost = [end for end in _of_kind(events, "end") if end["trial"] in of_finals and end["status"] != "completed"]
    played = len(_of_kind(events, "held_out")) + len(lost)
    is_played = not _setting(settings, "evaluation", "held_out") or played >= len(rows) * (_setting(settings, "finals", "seeds") or 1)
    return is_played and (not _setting(settings, "finals", "capability") or len(_of_kind(events, "capability")) > len(rows))


def _of_kind(events: Sequence[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event"] == kind]


def _setting(settings: Mapping[str, Any], part: str, name: str) -> Any:
    return (settings.get(part) or {}).get(name)

"""Where a search stands, in words, by its events and its settings."""

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import UserError
from orchestrator.search.grid import planned_trials
from orchestrator.search.kept import setting
from orchestrator.search.leaderboard import BASE
from orchestrator.search.ledger import Events
from orchestrator.search.verdict import finalists
from orchestrator.settings_file import check_settings

FINISHED = "finished"


def phase_of(events: Events, settings: Mapping[str, Any]) -> str:
    """What the ledger's last events say that the search is at; `settings` are those of settings.json, empty where they are not known."""
    session = events.session
    if fatal := session.last("fatal"):
        return f"ended by an error: {fatal['what']}"
    if session.within_finals:
        return FINISHED if _finals_are_over(events, settings) else "in the finals"
    planned = trials_planned(settings)
    if session.of("spent") or (planned is not None and events.over >= planned):
        has_finals = setting(settings, "evaluation", "held_out") or setting(settings, "finals", "capability")
        return "about to play the finals" if has_finals else FINISHED
    return "searching" if events else "nothing measured yet"


def trials_planned(settings: Mapping[str, Any]) -> int | None:
    """How many trials a search of these settings of settings.json has in all (see `planned_trials`); None where that is not known."""
    try:
        return planned_trials(check_settings(settings, "settings.json"))
    except UserError:
        return setting(settings, "search", "trials")


def _finals_are_over(events: Events, settings: Mapping[str, Any]) -> bool:
    """Whether every run of every finalist is scored, cannot be judged, or ended without a score, and what can be measured besides is."""
    if any(event.get("finals") for event in events.session.of("spent")):
        return True
    rows = {row.trial for row in finalists(events, setting(settings, "finals", "finalists") or 0)}
    runs = {event["trial"] for event in events.of("trial") if event.get("seed_of") in rows}
    lost = [end for end in events.of("end") if end["trial"] in runs and end["status"] != "completed"]
    judged = [*events.of("held_out"), *events.left_out]
    played = len([event for event in judged if event["trial"] in rows]) + len(lost)
    is_played = not setting(settings, "evaluation", "held_out") or played >= len(rows) * (setting(settings, "finals", "seeds") or 1)
    asked = {event["trial"] for event in events.of("capability")}
    is_measured = {BASE, *rows} <= asked or bool(events.session.of("unmeasured"))
    return is_played and (not setting(settings, "finals", "capability") or is_measured)

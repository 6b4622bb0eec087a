"""The head of the report: what is known, in a few words, and how far the search is."""

from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.goal import Goal
from orchestrator.search.ledger import since_begin
from orchestrator.search.projection import projected
from orchestrator.search.verdict import finalists


def standing(run: Run) -> dict[str, Any]:
    """The answer, who was asked how much, and where the search stands; `answer` is None while nothing is scored."""
    found = projected(run.events, run.setting("search", "trials"), run.events[-1]["time"] if run.events else 0.0)
    best = run.finalists[0] if run.answer else None
    return {
        "answer": run.answer,
        "best": best,
        "is_fresh": bool(run.answer and run.answer["is_fresh"]),
        "has_finals": bool(run.setting("evaluation", "held_out")),
        "control": _against_control(run),
        "progress": found.as_dict(),
        "phase": _phase(run, found.over, found.planned),
        "base_model": run.setting("model", "base"),
        "judge": next((event["scorecard"].get("judge") for event in reversed(run.of_kind("score", "held_out"))), None),
        "began": next((event["time"] for event in run.of_kind("begin")), None),
        "until": run.events[-1]["time"] if run.events else None,
    }


def _phase(run: Run, over: int, planned: int | None) -> str:
    """What the ledger's last events say that the search is at."""
    if fatal := [event for event in since_begin(run.events) if event["event"] == "fatal"]:
        return f"ended by an error: {fatal[-1]['what']}"
    if run.by_kind.get("finals"):
        return "finished" if _finals_are_over(run) else "in the finals"
    if planned is not None and over >= planned:
        has_finals = run.setting("evaluation", "held_out") or run.setting("finals", "capability")
        return "about to play the finals" if has_finals else "finished"
    return "searching" if run.events else "nothing measured yet"


def _finals_are_over(run: Run) -> bool:
    """Whether every run of every finalist is scored, or ended without a score."""
    if any(event.get("finals") for event in run.of_kind("spent")):
        return True
    rows = finalists(run.events, Goal(), run.setting("finals", "finalists") or 0)
    of_finals = {event["trial"] for event in run.of_kind("trial") if "until" in event}
    lost = [end for end in run.of_kind("end") if end["trial"] in of_finals and end["status"] != "completed"]
    played = len(run.of_kind("held_out")) + len(lost)
    is_played = not run.setting("evaluation", "held_out") or played >= len(rows) * (run.setting("finals", "seeds") or 1)
    return is_played and (not run.setting("finals", "capability") or len(run.of_kind("capability")) > len(rows))


def _against_control(run: Run) -> dict[str, Any] | None:
    """The answer's difference to the best plain DPO, with the name of its trial; None where the best is plain DPO itself."""
    by_trial = {each["trial"]: each["method"] for each in run.finalists}
    differences = run.answer["differences"] if run.answer else ()
    return next((dict(each) for each in differences if by_trial.get(each["second"]) == "dpo"), None)

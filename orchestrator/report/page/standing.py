"""The head of the report: what is known, in a few words, and how far the search is."""

from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.phase import phase_of, trials_planned
from orchestrator.search.projection import projected


def standing(run: Run) -> dict[str, Any]:
    """The answer, who was asked how much, and where the search stands; `answer` is None while nothing is scored."""
    found = projected(run.events, trials_planned(run.settings), run.events[-1]["time"] if run.events else 0.0)
    best = run.finalists[0] if run.answer else None
    return {
        "answer": run.answer,
        "best": best,
        "is_fresh": bool(run.answer and run.answer["is_fresh"]),
        "has_finals": bool(run.setting("evaluation", "held_out")),
        "control": _against_control(run),
        "progress": found.as_dict(),
        "phase": phase_of(run.events, run.settings),
        "base_model": run.setting("model", "base"),
        "judge": next((event["scorecard"].get("judge") for event in reversed(run.events.of("score", "held_out"))), None),
        "began": next((event["time"] for event in run.events.of("begin")), None),
        "until": run.events[-1]["time"] if run.events else None,
    }


def _against_control(run: Run) -> dict[str, Any] | None:
    """The answer's difference to the best plain DPO, with the name of its trial; None where the best is plain DPO itself."""
    by_trial = {each["trial"]: each["method"] for each in run.finalists}
    differences = run.answer["differences"] if run.answer else ()
    return next((dict(each) for each in differences if by_trial.get(each["second"]) == "dpo"), None)

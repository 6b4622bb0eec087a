"""The answer with its sentences, as answer.json holds it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.report import words
from orchestrator.search.budget import Meter, saved
from orchestrator.search.capability import capabilities
from orchestrator.search.curves import curves
from orchestrator.search.ladder import correlations
from orchestrator.search.leaderboard import Row
from orchestrator.search.ledger import Events
from orchestrator.search.verdict import answer


def answer_ready(events: Events, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The answer with its sentences, what was spent and saved, and how far cheaper measures rank as the judge does; plain JSON values.

    None while nothing is scored.
    """
    found, economy = answer(events), saved(events)
    if found is None:
        return None
    spent = Meter(events).spent(events[-1]["time"])
    return {
        **found.as_dict(),
        "sentences": [
            *words.verdict(found),
            *words.cut_short(events),
            *words.capability(measured := capabilities(events)),
            words.economy(spent, economy),
        ],
        "spent": spent.as_dict(),
        "saved": asdict(economy) if economy else None,
        "expected_best": curves(rows),
        "capability": [each.as_dict() for each in measured],
        "correlations": {str(each.rung): asdict(each.measured) for each in correlations(events)},
    }

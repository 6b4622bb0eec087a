"""How far the judge can be trusted: what it could not read, whether it agrees with itself, whether places sway it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from evals.judging import Verdict
from orchestrator.figures import outcome
from orchestrator.report.page.kept import kept_answers
from orchestrator.report.page.run import Run
from orchestrator.search.leaderboard import BASE
from orchestrator.search.ledger import Event


def judging(run: Run) -> dict[str, Any] | None:
    """The judges, the verdicts on the base model and each finalist, and how cheaper measures rank; None while nothing was judged."""
    judged = run.events.judged
    if not judged:
        return None
    return {
        "judges": sorted({event["scorecard"].get("judge") or "not told" for event in judged}),
        "verdicts": [_told(run, event) for event in _of_interest(run)],
        "correlations": dict(run.answer["correlations"]) if run.answer else {},
    }


def _of_interest(run: Run) -> Iterator[Event]:
    """The base model against itself, and each finalist's fresh verdicts, those of the search where there are none."""
    yield from run.events.of("baseline")[-1:]
    for each in run.finalists:
        events = run.events.of("held_out", trial=each["trial"]) or [run.score_of(each["trial"])]
        yield from (event for event in events if event is not None)


def _told(run: Run, event: Event) -> dict[str, Any]:
    card = event["scorecard"]
    scores = Counter(outcome(score) for score in event.get("verdicts", {}).values())
    return {
        "name": event.get("run") or event.get("trial") or BASE,
        "is_fresh": event["event"] == "held_out",
        **{name: card[name] for name in ("win_rate", "low", "high", "judged", "unreadable")},
        "swap_consistency": card.get("swap_consistency"),
        "outcomes": {name: scores[name] for name in ("win", "tie", "loss")},
        **_places([verdict for _, verdict in kept_answers(run, event)]),
    }


def _places(verdicts: Sequence[Verdict]) -> Mapping[str, Any]:
    """The candidate's win rate where it was shown first and where second; None where the judge has no order, or both were asked."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for verdict in verdicts:
        if verdict.candidate_shown_first is not None and verdict.candidate_score is not None and verdict.in_both_orders is None:
            found[verdict.candidate_shown_first].append(100 * verdict.candidate_score)
    return {"shown_first": _share(found[True]), "shown_second": _share(found[False])}


def _share(scores: Sequence[float]) -> dict[str, Any] | None:
    return {"win_rate": fmean(scores), "verdicts": len(scores)} if scores else None

"""What went wrong, or looked as if: trials that failed, were censored or unwell, workers that died, guards, bounds that were reached."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from orchestrator.report.page.run import Run
from orchestrator.search.ledger import Event

MOST_SHOWN = 300
WELL = {"", "healthy", "young", "learning"}


def health(run: Run) -> dict[str, Any]:
    """The events in order, the gravest kinds counted; `left_out` counts those beyond MOST_SHOWN."""
    found = sorted(_events(run), key=lambda each: each["time"])
    return {
        "counts": dict(Counter(each["what"] for each in found).most_common()),
        "events": found[:MOST_SHOWN],
        "left_out": max(0, len(found) - MOST_SHOWN),
        "words": dict(Counter(_word(event) for event in run.events.of("score") if _word(event)).most_common()),
    }


def _events(run: Run) -> Iterator[dict[str, Any]]:
    yield from (_told(event, "resumed", "the search went on after its driver had ended") for event in run.events.of("begin")[1:])
    for event in run.events.of("attempt"):
        if event["attempt"] > 1:
            yield _told(event, "handed out again", f"attempt {event['attempt']}, to {event['gang']}")
    yield from (_told(event, "worker group", event["what"]) for event in run.events.of("gang"))
    yield from (_told(event, "damaged", "a checkpoint was cut short, and its trial trained again") for event in run.events.of("damaged"))
    for event in run.events.of("end"):
        if event["status"] in {"failed", "censored"}:
            yield _told(event, event["status"], event["reason"])
    yield from (_told(event, "fatal", f"{event['what']}. {event.get('cure', '')}") for event in run.events.of("fatal"))
    yield from (_told(event, "budget", event["reason"]) for event in run.events.of("spent"))
    yield from _unwell(run)
    yield from _guarded(run)


def _unwell(run: Run) -> Iterator[dict[str, Any]]:
    """The first time that a trial was found to be in a trouble."""
    seen: set[tuple[str, str]] = set()
    for event in run.events.of("score"):
        if _word(event) not in WELL and (event["trial"], _word(event)) not in seen:
            seen.add((event["trial"], _word(event)))
            yield _told(event, _word(event), event["training"].get("cure", ""))


def _guarded(run: Run) -> Iterator[dict[str, Any]]:
    """What guards found in a trial's last score, and in those that ended trials."""
    last = {(event.get("run", event.get("trial", "")), event["event"] == "held_out"): event for event in run.events.judged}
    for event in last.values():
        for finding in event["scorecard"].get("findings") or ():
            yield _told(event, f"guard: {finding['guard']}", finding["detail"])


def _word(event: Event) -> str:
    return (event.get("training") or {}).get("health", "")


def _told(event: Event, what: str, detail: str) -> dict[str, Any]:
    name = event.get("run") or event.get("trial") or ("base" if event["event"] == "baseline" else "")
    return {"time": event["time"], "trial": name, "step": event.get("step"), "what": what, "detail": detail}

"""All that one needs to run the search again."""

import json
import shlex
from typing import Any

from orchestrator.report.page.run import Run

_OF_A_SESSION = ("command", "directory", "python", "platform", "git")


def reproducing(run: Run) -> dict[str, Any]:
    """Command, versions and state of the code of each session, prompts by their hash, judges, decoding, and all settings.

    What a ledger does not tell is None.
    """
    sessions = [
        {"time": event["time"], "versions": event.get("versions"), **dict.fromkeys(_OF_A_SESSION), **event.get("origin", {})}
        for event in run.events.of("begin")
    ]
    judged = run.events.judged
    asked = {event["scorecard"].get("prompts_sha256"): event["event"] == "held_out" for event in judged}
    return {
        "replay": shlex.join(["daa", "replay", str(run.directory)]) if run.directory is not None else None,
        "sessions": sessions,
        "prompts": [{"sha256": sha256, "is_fresh": is_fresh} for sha256, is_fresh in asked.items() if sha256],
        "judges": sorted({event["scorecard"]["judge"] for event in judged if event["scorecard"].get("judge")}),
        "decoding": next((event["scorecard"]["decoding"] for event in reversed(judged) if "decoding" in event["scorecard"]), None),
        "settings": json.dumps(run.settings, indent=2, ensure_ascii=False) if run.settings else None,
    }

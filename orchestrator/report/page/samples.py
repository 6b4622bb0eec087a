"""What the models said, side by side, with the judge's reasons."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evals.errors import DataFormatError
from evals.prompts import load_prompts
from orchestrator.figures import outcome
from orchestrator.report.page.kept import kept_answers
from orchestrator.report.page.run import Run
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import Event

MOST_SAMPLES, MOST_LETTERS = 200, 4_000
_MOST_MODELS = 3


def samples(run: Run) -> dict[str, Any] | None:
    """The best finalists' answers beside the base model's, losses and wins in turn; None where answers are not kept."""
    events = [_latest(run, each["trial"]) for each in run.finalists[:_MOST_MODELS]]
    told = [(event["trial"], answers) for event in events if event and (answers := _answers(run, event))]
    if not told or events[0] is None:
        return None
    prompts, base = _prompts(run, events[0]), _base(run, events[0])
    first = told[0][1]
    chosen = _in_turn({prompt: answer["score"] for prompt, answer in first.items()})[:MOST_SAMPLES]
    rows = [
        {
            "id": prompt,
            "prompt": cut(prompts.get(prompt, "")),
            "base": cut(base[prompt]) if prompt in base else None,
            "answers": [{"trial": trial, **answers[prompt]} for trial, answers in told if prompt in answers],
        }
        for prompt in chosen
    ]
    return {"rows": rows, "of": len(first), "is_fresh": events[0]["event"] == "held_out", "models": [trial for trial, _ in told]}


def cut(text: str) -> str:
    """A text that a page can hold."""
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} … ({len(text) - MOST_LETTERS:,} more characters)"


def _latest(run: Run, trial: str) -> Event | None:
    """The event whose answers are shown: the trial's first seed on fresh prompts, else what the leaderboard shows it by."""
    return next(iter(run.events.of("held_out", trial=trial)), None) or run.score_of(trial)


def _answers(run: Run, event: Event) -> dict[str, dict[str, Any]]:
    """Text, score and reason by prompt."""
    return {
        response.prompt_id: {"text": cut(response.text), "score": verdict.candidate_score, "reason": cut(verdict.reason)}
        for response, verdict in kept_answers(run, event)
    }


def _base(run: Run, event: Event) -> Mapping[str, str]:
    sha256 = event["scorecard"].get("prompts_sha256", "")
    file = RunFiles(run.directory).latest_base_answers(sha256) if run.directory is not None else None
    return json.loads(file.read_text(encoding="utf-8")) if file is not None else {}


def _prompts(run: Run, event: Event) -> dict[str, str]:
    """The prompts' texts, where their file still is what was asked."""
    file = run.setting("evaluation", "held_out" if event["event"] == "held_out" else "prompts")
    try:
        found = load_prompts(file) if file else None
    except (DataFormatError, OSError):
        return {}
    if found is None or found.sha256 != event["scorecard"].get("prompts_sha256"):
        return {}
    return {prompt.id: prompt.text for prompt in found.prompts}


def _in_turn(scores: Mapping[str, float | None]) -> Sequence[str]:
    """All prompts: a loss, a win, a tie and an unreadable verdict, and so on, so that the first ones show every side."""
    sides: dict[str, list[str]] = {"loss": [], "win": [], "tie": [], "unreadable": []}
    for prompt, score in scores.items():
        sides[outcome(score)].append(prompt)
    found, longest = [], max(map(len, sides.values()), default=0)
    for place in range(longest):
        found += [side[place] for side in sides.values() if place < len(side)]
    return found

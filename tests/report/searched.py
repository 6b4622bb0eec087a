"""The directory of a small search, as `daa search` leaves it: ledger, settings, prompts, answers with verdicts, training's figures."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.answers import save_answers
from evals.generation import Response
from evals.judging import Verdict
from evals.prompts import EvaluationPrompt, Message, save_prompts
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import Event
from orchestrator.search.trial import Trial
from tests.search import events as made

HOSTILE = "</script><script>parent.owned=1</script><img src=x onerror=owned=2><a href='javascript:owned=3'>%{x}</a> & &lt;b&gt; `|` \u2028"
BEST, OTHER, FALLEN = "001-simpo-aaaa", "002-dpo-bbbb", "003-dpo-cccc"
SCORES = {f"p{number}": (1.0, 1.0, 0.5, 0.0)[number % 4] for number in range(100)}
WORSE = {prompt: (0.0 if number % 5 == 0 else score) for number, (prompt, score) in enumerate(SCORES.items())}


def searched(directory: Path, words: str = "plain words") -> Path:
    """Write it; `words` stand in every place that a model, a data set, a judge or a file name can fill."""
    prompts = [EvaluationPrompt(f"p{number}", (Message("user", f"question {number}: {words}"),)) for number in range(100)]
    save_prompts(directory / "held_out.jsonl", prompts)
    sha256 = hashlib.sha256((directory / "held_out.jsonl").read_bytes()).hexdigest()
    write_ledger(directory, ledger(sha256, words))
    settings = {
        "search": {"trials": 3},
        "evaluation": {"held_out": str(directory / "held_out.jsonl")},
        "finals": {"finalists": 2, "seeds": 1},
        "note": words,
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    (directory / "responses" / "base").mkdir(parents=True)
    base = {prompt.id: f"base says {words}" for prompt in prompts}
    RunFiles(directory).base_answers(sha256, "ab12").write_text(json.dumps(base))
    for trial, scores in ((BEST, SCORES), (OTHER, WORSE)):
        _answers(directory / "responses" / trial / "held-out.jsonl", trial, scores, words)
        _metrics(directory / "checkpoints" / trial, falls=trial == OTHER, words=words)
    return directory


def ledger(sha256: str, words: str) -> list[Event]:
    """Two trials of two checkpoints, one that failed, and the finals."""
    best = Trial(BEST, "simpo", {"beta": 2.5, "gamma_over_beta": 0.5}, {"learning_rate": 1e-6})
    other, fallen = (
        Trial(OTHER, "dpo", {"beta": 0.1, "kind": "plain"}, {"learning_rate": 1e-6}),
        Trial(FALLEN, "dpo", {"beta": 0.3, "kind": words}, {"learning_rate": 1e-3}),
    )
    origin = {
        "command": f"daa search {words}",
        "directory": "/work",
        "git": {"commit": "abc123", "branch": words, "changes": None, "untracked": 0},
    }
    finding = {"guard": "repetition", "share": 0.02, "detail": f"loops: {words}"}
    judged: dict[str, Any] = {"prompts_sha256": sha256, "judge": f"judge {words}"}
    scored = made.scored(BEST, 20, 70.0, time=50.0)
    scored["scorecard"] |= {"findings": [finding], "mean_length": 120.0, "unfinished": 0.25, **judged}
    return [
        {**made.began(), "origin": origin, "versions": {"ray": "2.60.0"}},
        made.baseline(),
        *map(made.joined, (best, other, fallen)),
        made.attempted(BEST),
        made.scored(BEST, 10, 62.0, time=30.0, training={"health": "drifting", "cure": words}),
        made.scored(OTHER, 10, 58.0, time=31.0),
        made.scored(FALLEN, 10, 51.0, time=32.0),
        made.ended(FALLEN, "failed", words, time=33.0),
        scored,
        made.scored(OTHER, 20, 61.0, time=51.0),
        made.ended(BEST, "completed", time=60.0),
        made.ended(OTHER, "completed", time=61.0),
        {"event": "finals", "time": 62.0},
        made.held_out(BEST, SCORES, **judged),
        made.held_out(OTHER, WORSE, **judged),
    ]


def write_ledger(directory: Path, events: list[Event]) -> None:
    """The events as a ledger has them."""
    (directory / "ledger.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def _answers(file: Path, trial: str, scores: Mapping[str, float], words: str) -> None:
    responses = [Response(prompt, f"{trial} says {words} to {prompt}", 5, True) for prompt in scores]
    verdicts = [Verdict(prompt, score, int(prompt[1:]) % 2 == 0, f"because of {words}") for prompt, score in scores.items()]
    save_answers(file, responses, verdicts)


def _metrics(directory: Path, falls: bool, words: str) -> None:
    directory.mkdir(parents=True)
    steps: list[dict[str, Any]] = [
        {
            "step": step,
            "margin": 0.1 * step,
            "accuracy": 0.8,
            "drift": 0.2,
            "chosen_logp": -20.0 + (-0.5 if falls else 0.5) * step,
            "rejected_logp": -25.0 - step,
            "health": "falling" if falls else "healthy",
            "cure": words,
        }
        for step in range(1, 21)
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))

"""Directories as `daa search`, `daa train` and `daa rounds` leave them, with a tiny model for a checkpoint."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.search.ledger import Event
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from tests.search import events as made

BEST, WEAK, FAILED = (
    Trial("002-simpo-ab12", "simpo", {"beta": 2.5, "gamma_over_beta": 0.5}, {"learning_rate": 3e-4}),
    Trial("001-dpo-cd34", "dpo", {"beta": 0.1}, {"learning_rate": 1e-4}),
    Trial("003-ipo-ef56", "ipo", {"beta": 0.1}, {"learning_rate": 1.0}),
)
VERSIONS = {"torch": "2.13.0", "daa-orchestrator": "0.1.0"}
FINDING = "3 of 100 responses are empty | such as <p0>"


def settings_of(base: Path | str, **other: Any) -> Settings:
    """Settings of a run on the user's own model and data."""
    given = {
        "model": {"base": str(base)},
        "data": {"train": "someone/pairs", "context": 64},
        "evaluation": {"prompts": "prompts.jsonl", "held_out": "held_out.jsonl"},
        "judge": {"kind": "verifier"},
        "training": {"steps": 20, "batch_size": 16},
    }
    return Settings.model_validate({**given, **other})


def card(rate: float, **other: Any) -> dict[str, Any]:
    """A scorecard with all that one has."""
    decoding = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 16, "seed": 1}
    return made.scorecard(rate, judge="verifier", decoding=decoding, prompts_sha256="ab" * 32, findings=[], **other)


def left_search(directory: Path, model: Path, settings: Settings, extra: Sequence[Event] = ()) -> Path:
    """A search of three trials, of which the last one failed; `model` is what the others were trained to."""
    directory.mkdir(parents=True)
    (directory / "settings.json").write_text(json.dumps(settings.json_ready()))
    training = {"health": "healthy", "cure": "", "validation_accuracy": 0.75, "validation_margin": 0.1, "validation_pairs": 8}
    events = [made.began() | {"versions": VERSIONS}, made.baseline(), *(made.joined(trial) for trial in (BEST, WEAK, FAILED))]
    for trial, rate, right in ((BEST, 60.0, 0.75), (WEAK, 52.0, 0.625)):
        place = directory / "checkpoints" / trial.id / "step-000020" / "model"
        shutil.copytree(model, place)
        score = made.scored(trial.id, 20, rate, scorecard=card(rate), training=training)
        events += [score | {"checkpoint": str(place)}, made.ended(trial.id, "completed")]
        for seed in range(2):
            found = made.verdicts(*[1.0, right - 0.25 * seed, 0.5, 0.5] * 10)
            event = made.held_out(trial.id, found, seed)
            finding = {"guard": "empty", "share": 0.03, "detail": FINDING}
            numbers = event["scorecard"] | {key: card(0.0)[key] for key in ("judge", "decoding", "prompts_sha256")}
            events.append(event | {"scorecard": numbers | {"findings": [finding] if seed else []}})
    events.append(made.ended(FAILED.id, "failed", "the loss is not finite"))
    (directory / "ledger.jsonl").write_text("".join(json.dumps(event) + "\n" for event in [*events, *extra]))
    return directory


def left_training(directory: Path, model: Path, settings: Settings, trial: Trial = BEST) -> Path:
    """One trial that was trained alone."""
    place = directory / "checkpoints" / trial.id
    for step in (10, 20):
        shutil.copytree(model, place / f"step-{step:06d}" / "model")
    told = {"settings": settings.json_ready(), "trial": {"trial": trial.id, **trial.as_event()}, "versions": VERSIONS}
    (place / "trained.json").write_text(json.dumps(told))
    (place / "metrics.jsonl").write_text(json.dumps({"step": 20, "health": "healthy", "cure": ""}) + "\n")
    return directory


def left_rounds(directory: Path, model: Path, settings: Settings) -> Path:
    """Two rounds, of which the first one wins more."""
    results = []
    for number, right in ((1, 0.9), (2, 0.6)):
        place = directory / f"round-{number:02d}" / "checkpoints" / BEST.id / "step-000020" / "model"
        shutil.copytree(model, place)
        verdicts = made.verdicts(*[right, right - 0.1 * number] * 10)
        told = {"scorecard": {**card(100 * right), **made.card_of(verdicts)}, "verdicts": verdicts, "made": {}}
        results.append({"number": number, "model": str(place), **told})
    (directory / "rounds.json").write_text(json.dumps(results))
    (directory / "settings.json").write_text(json.dumps(settings.json_ready() | {"trial": BEST.as_event(), "versions": VERSIONS}))
    return directory

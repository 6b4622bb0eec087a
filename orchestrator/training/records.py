"""What a run has told of itself, step by step: `metrics.jsonl` in its directory."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.whole_files import replacing, sync
from orchestrator.training.health import health

if TYPE_CHECKING:
    # Who only reads records needs no torch.
    from orchestrator.training.step import StepResult
    from orchestrator.training.telemetry import Telemetry
    from orchestrator.training.validation import Validation

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"
# Where `daa train` keeps the settings of a run.
TRAINED = "trained.json"
# What is measured at a step, by the names that TRL gives it.
_BY_TRL = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "gradient_norm": "grad_norm",
    "chosen_reward": "rewards/chosen",
    "rejected_reward": "rewards/rejected",
    "margin": "rewards/margins",
    "accuracy": "rewards/accuracies",
    "chosen_logp": "logps/chosen",
    "rejected_logp": "logps/rejected",
    "validation_accuracy": "eval_rewards/accuracies",
    "validation_margin": "eval_rewards/margins",
}
_TOLD = ("health", "cure", "telemetry", "validation_accuracy", "validation_margin", "validation_pairs")


class Records:
    """One line for each step: its number, what was measured, its telemetry, and the run's health after it. Rank 0 writes.

    A checkpoint's step has the figures of held-out pairs too, where there are any.
    """

    def __init__(self, directory: Path, steps: int, is_writer: bool) -> None:
        """Goes on after the first `steps`; what was written of later ones, before a process died, is dropped."""
        self._file, self._is_writer = directory / FILE, is_writer
        self._steps = [step for step in read_records(directory) if step["step"] <= steps] if is_writer else []
        if is_writer and self._file.exists():
            with replacing(self._file) as lines:
                lines.writelines(json.dumps(step) + "\n" for step in self._steps)

    def add(self, step: int, result: StepResult, telemetry: Telemetry, validation: Validation | None = None) -> None:
        """Write one step."""
        if not self._is_writer:
            return
        figures = {} if validation is None else validation.as_dict()
        self._steps.append({"step": step, **result.as_dict(), **figures, "telemetry": telemetry.as_dict()})
        found = health(self._steps)
        self._steps[-1] |= {"health": found.word, "cure": found.cure}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.write(json.dumps(self._steps[-1]) + "\n")

    def keep(self) -> None:
        """Wait until what was written is on the disk: no checkpoint outlives the records of the steps before it."""
        if self._is_writer and self._steps:
            sync(self._file)

    def tell(self, steps: int) -> None:
        """Say in the log where the run stands."""
        if self._is_writer and self._steps:
            logger.warning("%s", told(self._steps[-1], steps))


def read_records(directory: Path) -> list[dict[str, Any]]:
    """The steps that a run in `directory` has written, without a last line that was cut off."""
    file = directory / FILE
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def training_of(directory: Path, step: int) -> dict[str, Any]:
    """How fast the run in `directory` was at a step, how it was doing, and how it ordered held-out pairs; empty where it is not told."""
    found = next((record for record in reversed(read_records(directory)) if record["step"] == step), {})
    return {name: found[name] for name in _TOLD if name in found}


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a step that trackers draw, by TRL's names; what was not measured has none."""
    return {name: record[own] for own, name in _BY_TRL.items() if record.get(own) is not None}


def told(record: Mapping[str, Any], steps: int) -> str:
    """A step in one line, for people: how far, how fast, on what the time goes, and how the run is doing."""
    figures = record["telemetry"]
    shares = ", ".join(f"{phase} {share:.0%}" for phase, share in figures["shares"].items() if share >= 0.005)
    efficiency = "" if figures["mfu"] is None else f", MFU {figures['mfu']:.1%}"
    cure = f" ({record['cure']})" if record["cure"] else ""
    held_out = ""
    if "validation_accuracy" in record:
        held_out = f" prefers the chosen response of {record['validation_accuracy']:.0%} of {record['validation_pairs']} held-out pairs;"
    return (
        f"step {record['step']}/{steps}: loss {record['loss']:.4f}, {figures['tokens_per_second']:.0f} tokens/s, "
        f"{figures['pairs_per_second']:.1f} pairs/s{efficiency}, {figures['memory_mb']:.0f} MB, padding {figures['padding']:.0%}; "
        f"{shares};{held_out} {record['health']}{cure}"
    )

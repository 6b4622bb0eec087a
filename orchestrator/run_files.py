"""What a run leaves in its directory, and where: of a search, a training, rounds or an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunFiles:
    """The places in a run's directory; that something lies there is not said."""

    directory: Path

    @property
    def ledger(self) -> Path:
        """Everything that a search measured, in order."""
        return self.directory / "ledger.jsonl"

    @property
    def settings(self) -> Path:
        """The resolved settings."""
        return self.directory / "settings.json"

    @property
    def rounds(self) -> Path:
        """What came of each round."""
        return self.directory / "rounds.json"

    @property
    def logs(self) -> Path:
        """The directory of what processes print."""
        return self.directory / "logs"

    def log(self, name: str) -> Path:
        """What a process prints."""
        return self.logs / f"{name}.log"

    @property
    def checkpoints(self) -> Path:
        """The directory of all trials' trainings."""
        return self.directory / "checkpoints"

    def trial(self, trial: str) -> Path:
        """The directory of a trial's training: its checkpoints and its figures."""
        return self.checkpoints / trial

    @property
    def responses(self) -> Path:
        """The directory of what models answered."""
        return self.directory / "responses"

    def answers(self, event: Mapping[str, Any]) -> Path:
        """The answers that an event of the ledger was scored by."""
        match event["event"]:
            case "baseline":
                return self.responses / "base" / "search.jsonl"
            case "held_out":
                return self.responses / event["run"] / "held-out.jsonl"
            case _:
                return self.responses / event["trial"] / f"step-{event['step']:06d}.jsonl"

    def base_answers(self, prompts_sha256: str, how: str) -> Path:
        """The base model's answers to a set of prompts, `how` telling how they were made."""
        return self.responses / "base" / f"{prompts_sha256[:12]}-{how}.json"

    def latest_base_answers(self, prompts_sha256: str) -> Path | None:
        """The last of these files that was written; None where there is none."""
        found = self.responses.glob(f"base/{self.base_answers(prompts_sha256, '*').name}")
        return max(found, key=lambda file: file.stat().st_mtime_ns, default=None)

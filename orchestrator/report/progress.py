"""How far a training is, by what it writes of its steps while it is trained."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evals.json_lines import lines_since
from orchestrator.report import words
from orchestrator.search.clock import HOUR
from orchestrator.training.records import FILE

# The time that is left is reckoned from the last steps.
_LAST = 20
_WIDTH = 24


class Progress:
    """A training in `directory` of so many `steps`; `hears` is given each step's record once, but for those that are there before."""

    def __init__(self, directory: Path, steps: int, hears: Callable[[Mapping[str, Any]], None]) -> None:
        self._file, self._steps, self._hears = directory / FILE, steps, lambda record: None
        self._read, self._last = 0, deque[Mapping[str, Any]](maxlen=_LAST)
        self.look()
        self._hears = hears

    def look(self) -> None:
        """Read the steps that have come since. What a worker that died had written of later ones than it goes on from comes again."""
        with suppress(OSError, ValueError):
            if self._file.stat().st_size < self._read:
                self._read = 0
            lines, self._read = lines_since(self._file, self._read)
            for record in map(json.loads, lines):
                if record["step"] > self._step:
                    self._last.append(record)
                    self._hears(record)

    def in_words(self) -> str:
        """The last step's figures and the time that is left; nothing before the first step."""
        if not self._last:
            return ""
        record, steps = self._last[-1], len(self._last)
        seconds = sum(each["telemetry"]["seconds"] for each in self._last) / steps * (self._steps - self._step)
        return (
            f"step {self._step}/{self._steps}: loss {record['loss']:.4f}, accuracy {record['accuracy']:.0%}, "
            f"margin {record['margin']:.3g}, gradient norm {record['gradient_norm']:.3g}, learning rate {record['learning_rate']:.3g}, "
            f"{record['telemetry']['tokens_per_second']:,.0f} tokens/s, {words.amount(seconds / HOUR, 'hours')} left"
        )

    def __rich__(self) -> RenderableType:
        self.look()
        line = Table.grid(padding=(0, 1))
        told = Text(self.in_words() or "workers start and load the model", style="dim")
        line.add_row(ProgressBar(self._steps, self._step, _WIDTH), told)
        return line

    @property
    def _step(self) -> int:
        return self._last[-1]["step"] if self._last else 0

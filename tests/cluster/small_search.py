"""A search small enough for a test, as a user would start it: files, a settings file, a process."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import make_pairs

_SETTINGS = """
name = "small"
cache = "{root}/cache"
[model]
base = "{model}"
[data]
train = "{root}/train.jsonl"
context = 64
[training]
learning_rate = 2e-3
batch_size = 16
micro_batch_tokens = 130
steps = {steps}
checkpoints = 4
precision = "fp32"
[evaluation]
prompts = "{root}/prompts.jsonl"
held_out = "{root}/prompts.jsonl"
temperature = 1.0
max_tokens = 8
max_model_len = 64
veto = []
[judge]
kind = "reference"
[search]
methods = {methods}
trials = {trials}
error_rate = 0.01
doubt = inf
censor = []
[search.space.training]
learning_rate = {{ low = 1e-3, high = 1e-2, log = true }}
[finals]
finalists = 2
seeds = 2
[cluster]
workers = 1
cpus_per_worker = 1
"""


def write_small_search(root: Path, model: Path, trials: int, steps: int, methods: Sequence[str] = ("dpo", "simpo", "rpo_bwd")) -> Path:
    """Data, prompts and settings under `root`; returns the settings file."""
    root.mkdir(parents=True, exist_ok=True)
    rows = (
        {"prompt": p.prompt[0].content, "chosen": p.chosen, "rejected": p.rejected, "chosen_reward": p.chosen_reward}
        | {"rejected_reward": p.rejected_reward}
        for p in make_pairs(128)
    )
    _write_lines(root / "train.jsonl", rows)
    words = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog"]
    _write_lines(
        root / "prompts.jsonl", ({"prompt": f"say {word}{' ' * n}", "reference": word, "answer": word} for n in range(6) for word in words)
    )
    settings = root / "settings.toml"
    settings.write_text(_SETTINGS.format(root=root, model=model, trials=trials, steps=steps, methods=json.dumps(methods)))
    return settings


class RunningCommand:
    """A `daa` process and everything it starts, told apart by a mark in their environment."""

    def __init__(self, *arguments: str, directory: Path | None = None) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", *arguments],
            cwd=directory,
            env={**os.environ, "DAA_TEST_MARK": self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self, title: str = "") -> list[psutil.Process]:
        """The living processes of this run whose command line contains `title`."""
        return [process for process in psutil.process_iter() if _is_marked(process, self.mark) and title in _command(process)]

    def wait(self, timeout_s: float, code: int = 0) -> str:
        """What it printed, when it has ended. Fails when it ended otherwise than with this code."""
        output, _ = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == code, output
        return output


def read_events(directory: Path) -> list[Mapping[str, Any]]:
    """The ledger so far, without a line that is being written."""
    file = directory / "ledger.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll; fail naming what did not happen."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"in {timeout_s} s it did not happen: {what}"
        time.sleep(0.1)


def _write_lines(file: Path, rows: Any) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("DAA_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

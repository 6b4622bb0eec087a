"""What a training worker holds of its preference data, in memory and streamed: peak memory, and the least limit under which it trains.

`python benchmarks/streaming.py --pairs 150000 --headroom 400`. A synthetic set in JSONL; each way is trained for a few steps in a process
of its own, once as it likes and once with no more than `headroom` MiB above what a worker needs without data (`RLIMIT_DATA`: all memory
that is the process's own, pages of files that are mapped left out). Losses must be equal.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

MIB = 1 << 20
CONTEXT, VOCABULARY, STEPS = 512, 8000, 3
MEASURES = ("resident", "own", "counted")


def main(
    pairs: Annotated[int, typer.Option(help="Pairs of the set; about 370 tokens each.")] = 150_000,
    headroom: Annotated[int, typer.Option(help="MiB that a worker may have besides what it needs without data.")] = 400,
    method: Annotated[str, typer.Option(help="dpo also computes and reads reference scores of all pairs.")] = "simpo",
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the figures.")] = None,
) -> None:
    """Measure and print a table."""
    figures: list[Mapping[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        console = Console()
        console.print(f"{_make_data(root, pairs) / MIB:.0f} MiB of JSONL, {pairs} pairs")
        console.print(f"streamed into the cache in {_stream(root):.0f} s: {_size(root / 'cache' / 'tokens') / MIB:.0f} MiB of shards")
        bare = _worker(root, "none", method, None)
        console.print("data | limit, MiB | resident, MiB | own, MiB | counted, MiB | seconds | losses")
        console.print(f"400 pairs | | {_cells(bare)}", soft_wrap=True)
        for way in ("streaming", "memory"):
            for limit in (None, int(bare["counted"]) + headroom):
                figures.append({"data": way, "limit": limit, **_worker(root, way, method, limit)})
                console.print(f"{way} | {limit or ''} | {_cells(figures[-1])}", soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


def _cells(told: Mapping[str, Any]) -> str:
    numbers = [f"{told[name]:.0f}" if name in told else "" for name in (*MEASURES, "seconds")]
    return " | ".join([*numbers, str(told.get("losses", told.get("error")))])


def _make_data(root: Path, pairs: int) -> int:
    """A model and a set of random words; returns the set's size in bytes."""
    from orchestrator.worlds.small_model import make_model, make_tokenizer, save

    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9))) for _ in range(6000)]
    tokenizer = make_tokenizer([" ".join(words)] * 3, VOCABULARY, CONTEXT)
    save(make_model(tokenizer, CONTEXT, 0), tokenizer, root / "model")
    file = root / "pairs.jsonl"
    with file.open("w") as lines:
        for _ in range(pairs):
            prompt, chosen, rejected = (" ".join(chance.choices(words, k=chance.randint(40, 60))) for _ in range(3))
            lines.write(json.dumps({"prompt": prompt, "chosen": chosen, "rejected": rejected}) + "\n")
    return file.stat().st_size


def _settings(root: Path, streaming: bool) -> Any:
    from orchestrator.settings import Settings

    (root / "prompts.jsonl").touch()
    return Settings.model_validate(
        {
            "model": {"base": str(root / "model")},
            "data": {"train": str(root / "pairs.jsonl"), "context": CONTEXT, "streaming": streaming},
            "evaluation": {"prompts": str(root / "prompts.jsonl")},
            "judge": {"kind": "verifier"},
            "cache": str(root / "cache"),
        }
    )


def _stream(root: Path) -> float:
    """Stream the set into the cache, on a Ray of this machine; returns the seconds."""
    from orchestrator.cluster.session import ray_session
    from orchestrator.cluster.workers.streaming import stream_inputs

    settings = _settings(root, True)
    with ray_session(settings.cluster, root):
        start = time.monotonic()
        stream_inputs(settings, root, print)
        return time.monotonic() - start


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _worker(root: Path, way: str, method: str, limit: int | None) -> Mapping[str, Any]:
    """Train in a process of its own; its memory, seconds and losses, or how it ended."""
    command = [sys.executable, __file__, "--worker", str(root), way, method, str(limit or 0)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"killed by signal {-done.returncode}"])[-1][:60]}
    return json.loads(done.stdout.splitlines()[-1])


def _work(root: Path, way: str, method: str, limit: int) -> None:
    """What a measured process does."""
    import torch

    from orchestrator.cluster.workers.streaming import streamed_inputs
    from orchestrator.objectives import METHODS
    from orchestrator.settings import TrainingSettings
    from orchestrator.training.inputs import load_inputs
    from orchestrator.training.local_engine import LocalEngine
    from orchestrator.training.loop import train
    from orchestrator.training.records import read_records
    from orchestrator.training.run import TrainingRun

    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit * MIB, limit * MIB))
    torch.manual_seed(0)
    peaks = _watched()
    start = time.monotonic()
    settings = _settings(root, way == "streaming")
    if way == "none":
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"limit": 400})})
    assert settings.model.base is not None
    inputs = streamed_inputs(settings, root) if way == "streaming" else load_inputs(settings.model.base, settings.data)
    training = TrainingSettings(steps=STEPS, batch_size=16, micro_batch_tokens=2000, checkpoints=1, precision="fp32", zero_stage=0)
    with tempfile.TemporaryDirectory() as place:
        caches = str(Path(place) / "reference")
        run = TrainingRun(METHODS[method](), training, inputs.pairs, settings.model.base, inputs.tokenizer, Path(place) / "run", caches)
        train(run, LocalEngine(run.policy(), training), lambda checkpoint: True)
        losses = [round(step["loss"], 9) for step in read_records(run.directory)]
    print(json.dumps({**peaks, "seconds": time.monotonic() - start, "losses": losses}))


def _watched() -> dict[str, float]:
    """The peaks of this process's memory from now on, in MiB: resident, resident and its own, and all its own as RLIMIT_DATA counts it."""
    peaks: dict[str, float] = dict.fromkeys(MEASURES, 0.0)

    def watch() -> None:
        while True:
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            for name, field in (("resident", "VmRSS"), ("own", "RssAnon"), ("counted", "VmData")):
                peaks[name] = max(peaks[name], int(status[field].split()[0]) / 1024)
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
    return peaks


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _work(Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        typer.run(main)

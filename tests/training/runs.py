"""Small training runs for tests: one process, or several gloo ranks with DeepSpeed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from orchestrator.objectives import METHODS, Objective
from orchestrator.objectives.wpo import WPO
from orchestrator.policy.loading import load_tokenizer
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.settings import TrainingSettings
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.loop import train
from orchestrator.training.records import read_records
from orchestrator.training.run import TrainingRun

FAST = TrainingSettings(
    learning_rate=2e-3, batch_size=16, micro_batch_tokens=130, steps=12, checkpoints=3, precision="fp32", warmup=0.0, zero_stage=0
)
# With the published beta, WPO's weight grows faster than its logistic loss falls in a run as short as these.
LEARNING: Mapping[str, Objective] = {name: WPO(beta=0.3) if name == "wpo" else method() for name, method in METHODS.items()}


def tiny_run(
    objective: Objective,
    model: Path,
    tokenizer: Any,
    pairs: Sequence[TokenizedPair],
    directory: Path,
    settings: TrainingSettings = FAST,
    references: Sequence[Path] = (),
) -> TrainingRun:
    """A run on the tiny model that writes below `directory`."""
    others = tuple(map(str, references))
    return TrainingRun(objective, settings, pairs, str(model), tokenizer, directory / "run", str(directory / "cache"), references=others)


def train_locally(run: TrainingRun, stop_after: int | None = None) -> None:
    """Train in this process; `stop_after` ends the run at that checkpoint step, as a killed process would."""
    torch.manual_seed(0)
    engine = LocalEngine(run.policy(), run.settings)
    train(run, engine, lambda checkpoint: checkpoint.progress.step != stop_after)


def metrics(run: TrainingRun) -> Sequence[Mapping[str, Any]]:
    """The recorded steps."""
    return read_records(run.directory)


def weights(run: TrainingRun, step: int) -> dict[str, torch.Tensor]:
    """The exported weights of a checkpoint."""
    from safetensors.torch import load_file

    return load_file(run.directory / f"step-{step:06d}" / "model" / "model.safetensors")


def train_with_deepspeed(rank: int, run: TrainingRun, stop_after: int | None = None) -> None:
    """What each rank of a DeepSpeed test does; `stop_after` ends the run at that checkpoint step."""
    from orchestrator.training.deepspeed_engine import DeepSpeedEngine

    torch.manual_seed(0)
    engine = DeepSpeedEngine(run.policy(), run.settings)
    train(run, engine, lambda checkpoint: checkpoint.progress.step != stop_after)
    engine.close()


def train_all(rank: int, runs: Sequence[TrainingRun]) -> None:
    """What each rank does that trains several runs, one after another."""
    for run in runs:
        train_with_deepspeed(rank, run)


def variant_of(model: Path, directory: Path, **config: Any) -> Path:
    """A random model of the same shape as another and with its tokenizer, but for what `config` changes."""
    from transformers import AutoConfig, AutoModelForCausalLM

    changed = AutoConfig.from_pretrained(model)
    for name, value in config.items():
        setattr(changed, name, value)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(changed).save_pretrained(directory)
    load_tokenizer(str(model)).save_pretrained(directory)
    return directory

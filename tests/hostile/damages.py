"""What may have befallen a model's directory, by accident or by intent."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Damage = Callable[[Path], object]


class Harm:
    """What a pickled file may hold: it touches the file that DAA_HARM names as soon as somebody unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ('touch "$DAA_HARM"',)


def edited(**changes: object) -> Damage:
    """A configuration with other values."""

    def damage(model: Path) -> None:
        file = model / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return damage


def written(name: str, content: str) -> Damage:
    """A file with other content."""
    return lambda model: (model / name).write_text(content)


def sharded(model: Path) -> None:
    """Weights of which the index names a second file that is not there."""
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    names = {"model.embed_tokens.weight": "model-00001-of-00002.safetensors", "lm_head.weight": "model-00002-of-00002.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


def pickled(model: Path) -> None:
    """Weights as a pickled file that does harm."""
    (model / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Harm()}, model / "pytorch_model.bin")


def with_code(model: Path) -> None:
    """A model that brings code of its own, which does harm."""
    (model / "own.py").write_text("import os\nos.system('touch \"$DAA_HARM\"')\n")
    edited(model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"})(model)


DAMAGES: dict[str, Damage] = {
    "config.json is not JSON": written("config.json", "{no"),
    "config.json is a list": written("config.json", "[1]"),
    "config.json is nested without end": written("config.json", "[" * 100_000),
    "a size is a word": edited(hidden_size="big"),
    "no attention heads": edited(num_attention_heads=0),
    "an unknown architecture": edited(model_type="nobody"),
    "another width than the weights": edited(hidden_size=128, head_dim=64),
    "more layers than the weights": edited(num_hidden_layers=4),
    "a missing shard": sharded,
    "an index that is not JSON": lambda model: (sharded(model), written("model.safetensors.index.json", "{")(model)),
    "truncated weights": lambda model: os.truncate(model / "model.safetensors", 1000),
    "empty weights": lambda model: os.truncate(model / "model.safetensors", 0),
    "weights with a header of 2^64 bytes": lambda model: (model / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
    "a pickle that does harm": pickled,
    "code of its own": with_code,
}

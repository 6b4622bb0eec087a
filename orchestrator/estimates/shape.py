"""What a model consists of, told by its configuration alone: no weight is read, none is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evals.errors import shortened
from evals.model_files import FAULTS
from orchestrator.errors import ModelError
from orchestrator.settings import TrainingSettings

_CURE = "give a Hugging Face directory, or a hub identifier that this machine can reach and may read"


@dataclass(frozen=True)
class Shape:
    """Weights: `total`, those that are `trained`, those of the `trunk` that each token passes and of the `head`; and widths by name.

    `key_values` is the width of a layer's keys, all heads together; its values are as wide. `active` says which share of the trunk's
    weights a token passes: all but in a mixture of experts.
    """

    total: int
    trained: int
    trunk: int
    head: int
    layers: int
    hidden: int
    intermediate: int
    key_values: int
    positions: int
    active: float = 1.0

    @property
    def cache_bytes(self) -> int:
        """What an engine keeps of a token, in bytes: keys and values of all layers in 16 bits."""
        return 2 * 2 * self.layers * self.key_values


def shape_of(model: str, training: TrainingSettings) -> Shape:
    """The shape of the model at `model` as `training` trains it.

    Raises ModelError where its configuration cannot be read, or is of a kind that is not reckoned with.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        with torch.device("meta"):
            made = AutoModelForCausalLM.from_config(config)
    except FAULTS as error:
        raise ModelError(f"the model's configuration cannot be read: {shortened(str(error))}", model, _CURE) from error
    try:
        return _measured(made, config.get_text_config(), training)
    except FAULTS as error:
        what = f"what a model of the type {config.model_type!r} takes cannot be told: {shortened(str(error))}"
        raise ModelError(what, model, "a model with attention in its layers can be planned with; a search needs no plan") from error


def _measured(made: Any, config: Any, training: TrainingSettings) -> Shape:
    from orchestrator.policy.cost import experts_of, trunk_of

    total = sum(weight.numel() for weight in made.parameters())
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    experts = experts_of(config)
    return Shape(
        total=total,
        trained=total if training.lora is None else _adapters(made, training),
        trunk=trunk_of(made),
        head=made.get_output_embeddings().weight.numel(),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        key_values=(getattr(config, "num_key_value_heads", None) or heads) * width,
        positions=getattr(config, "max_position_embeddings", None) or 0,
        active=(getattr(config, "num_experts_per_tok", None) or experts) / experts if experts else 1.0,
    )


def _adapters(made: Any, training: TrainingSettings) -> int:
    """The weights of the adapters of every linear layer but the last, or of those that are named."""
    import torch
    from transformers.pytorch_utils import Conv1D

    assert training.lora is not None
    rank, targets = training.lora.rank, training.lora.targets
    layers = [
        module
        for name, module in made.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and module is not made.get_output_embeddings()
        and (not targets or name.endswith(targets))
    ]
    return sum(rank * sum(layer.weight.shape) for layer in layers)

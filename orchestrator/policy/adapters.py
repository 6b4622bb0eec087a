"""Low-rank adapters on a frozen model, which is the reference when they are switched off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evals.errors import first_line
from orchestrator.errors import SettingsError
from orchestrator.policy.head import ResponseHead, Wanted
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.packing import PackedResponses
from orchestrator.settings import LoraSettings

ALL = "all-linear"


class WithoutAdapters:
    """The model that a policy was before its adapters, in the policy's own memory; it is called as a frozen ScoringModel is."""

    def __init__(self, policy: ScoringModel) -> None:
        self._policy = policy

    @property
    def head(self) -> ResponseHead:
        """The last layer, which adapters leave as it is."""
        return self._policy.head

    def hidden(self, responses: PackedResponses) -> Tensor:
        """The hidden states (R, H) that predict the response tokens."""
        with self._switched_off(), torch.no_grad():
            return self._policy.hidden(responses)

    def __call__(self, responses: PackedResponses, wanted: Wanted) -> dict[str, Tensor]:
        """Measurements (R,) of the response tokens by name, without gradients."""
        with torch.no_grad():
            return self.head(self.hidden(responses), wanted)

    @contextmanager
    def _switched_off(self) -> Iterator[None]:
        self._policy.model.disable_adapters()
        try:
            yield
        finally:
            self._policy.model.enable_adapters()


def base_of(policy: ScoringModel) -> WithoutAdapters | None:
    """The model without its adapters; None for a policy that has none."""
    return WithoutAdapters(policy) if getattr(policy.model, "peft_config", None) else None


def trained(policy: ScoringModel) -> dict[str, torch.nn.Parameter]:
    """The parameters that are not frozen, by name."""
    return {name: parameter for name, parameter in policy.named_parameters() if parameter.requires_grad}


def add_adapters(model: Any, path: str, lora: LoraSettings) -> None:
    """Freeze `model`, which was loaded from `path`, and add adapters that leave its outputs as they are until they are trained.

    Raises SettingsError when no layer has a name of `lora.targets`, or the last layer has: its logits are computed piece by piece.
    """
    from peft import LoraConfig

    # Who loads an adapter finds its base by this name, wherever they are.
    model.name_or_path = str(Path(path).resolve()) if Path(path).exists() else path
    targets, layers = list(lora.targets) or ALL, _linear_names(model)
    try:
        model.add_adapter(LoraConfig(task_type="CAUSAL_LM", r=lora.rank, lora_alpha=lora.alpha, target_modules=targets))
    except ValueError as error:
        cure = f"name linear layers such as {layers}, or leave it out for all of them"
        raise SettingsError(f"adapters cannot be added: {first_line(error)}", "training.lora.targets", cure) from error
    if hasattr(model.get_output_embeddings(), "lora_A"):
        raise SettingsError("the last layer cannot have an adapter", "training.lora.targets", f"name other layers: {layers}")


def quantized(lora: LoraSettings | None, precision: torch.dtype) -> dict[str, Any]:
    """What transformers is told to keep weights in four bits, and to compute in `precision`; nothing for plain adapters.

    Raises SettingsError when bitsandbytes is not installed.
    """
    if lora is None or lora.quantization is None:
        return {}
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        cure = "pip install 'daa-orchestrator[qlora]', or leave it out"
        raise SettingsError("four-bit weights need bitsandbytes, which is not installed", "training.lora.quantization", cure)
    options = {"bnb_4bit_quant_type": lora.quantization, "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": precision}
    return {"quantization_config": BitsAndBytesConfig(load_in_4bit=True, **options)}


def _linear_names(model: Any) -> str:
    names = {name.rpartition(".")[2] for name, module in model.get_decoder().named_modules() if isinstance(module, torch.nn.Linear)}
    return ", ".join(sorted(names))

"""A reward model: a sequence classifier with one output, which reads a response's value from the state of its last token."""

from typing import Any

import torch
from torch import Tensor

from orchestrator.errors import ModelError
from orchestrator.policy.head import Wanted
from orchestrator.policy.loading import check_weights, loaded, made_ready
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.packing import PackedResponses

_NAME = "score"


class RewardPolicy(ScoringModel):
    """Measures the `value` of packed responses. The last token of each is never read: the state that predicts it is what the value is of.

    Log-probabilities, which a classifier does not have, are NaN.
    """

    measurement = "value"

    def take_head(self) -> None:
        """A classifier's last layer measures as it is. Raises ModelError for one without."""
        if not isinstance(getattr(self.model, _NAME, None), torch.nn.Linear):
            raise ModelError(
                f"{type(self.model).__name__} has no linear layer `{_NAME}` that reads the last token",
                str(self.model.config.name_or_path),
                "start from a decoder, such as Llama, Qwen, Mistral or Gemma",
            )

    @property
    def head(self) -> Any:
        """The linear layer that reads values."""
        return self.model.score

    def forward(self, responses: PackedResponses, wanted: Wanted) -> dict[str, Tensor]:
        """Measurements (R,) by name: `value` has each response's at its last token and 0 at the others."""
        states = self.hidden(responses)
        last = _last_rows(responses)
        values = _exact(self.head(states[last]).squeeze(-1))
        measured = values.new_zeros(len(responses.labels)).index_add(0, last, values)
        return {"value": measured, "logp": torch.full_like(measured, float("nan"))}

    def own(self, responses: PackedResponses) -> Tensor:
        """The same values from the classifier's head over all tokens of padded rows."""
        laid = responses.unshared()
        values = _exact(self.head(self._padded(laid, self.model.get_decoder(), "last_hidden_state")).squeeze(-1))
        last = _last_rows(responses)
        return torch.zeros_like(values).index_add(0, last, values[last])


def _exact(values: Tensor) -> Tensor:
    """In float32 or better, as losses are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _last_rows(responses: PackedResponses) -> Tensor:
    """Where among the R response tokens the last one of each response is that is present."""
    lengths = responses.lengths.flatten()
    return lengths.cumsum(0)[lengths > 0] - 1


def load_reward_policy(
    path: str, precision: torch.dtype, padding: int | None, seed: int = 0, gradient_checkpointing: bool = False, compiled: bool = False
) -> RewardPolicy:
    """The model at `path` as a trainable reward model: a language model gets a fresh head, a classifier with one output keeps its own.

    `padding` is the tokenizer's padding token, behind which a classifier finds the last one. A fresh head is normal with a deviation of
    1 / sqrt(H + 1) (Stiennon et al. 2020, arXiv:2009.01325). Raises ModelError when there is no model, or not a whole one.
    """
    from transformers import AutoModelForSequenceClassification

    model, told = loaded(AutoModelForSequenceClassification, path, precision, num_labels=1)
    model.config.pad_token_id = padding
    head = f"{_NAME}.weight"
    if head in told["missing_keys"]:
        weight = model.score.weight
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) / (weight.shape[1] + 1) ** 0.5
        with torch.no_grad():
            weight.copy_(drawn)
    policy = made_ready(RewardPolicy, model, gradient_checkpointing, compiled)
    check_weights(told, path, drawn=head)
    return policy

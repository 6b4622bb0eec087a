"""A causal language model as something that measures packed responses, and how it lays them out."""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from evals.errors import first_line
from orchestrator.errors import ModelError, SettingsError
from orchestrator.policy.attention import PACKED, UnsupportedAttentionError, register
from orchestrator.policy.head import ResponseHead, Wanted, softcap_and_scale
from orchestrator.policy.spreading import Spread
from orchestrator.preferences.packing import PackedResponses, pack

logger = logging.getLogger(__name__)

LAYOUTS = ("shared", "packed", "padded")
# How far tokens' log-probabilities of two layouts may lie apart by rounding, by bytes of a number.
_TOLERANCE = {8: 1e-6, 4: 1e-3, 2: 0.05}
_FOUND: dict[tuple[str, torch.dtype], str] = {}


class ScoringModel(nn.Module):
    """A causal language model that measures packed responses, so that an engine can wrap the whole of it.

    `layout` is how it lays them out: "shared" (a prompt once for all of its responses), "packed" (each behind a copy of its prompt), or
    "padded" (one row each), whichever is the first that gives the model's own `measurement`.
    """

    measurement = "logp"

    def __init__(self, model: nn.Module, layout: str | None = None) -> None:
        """`layout` None has it found out."""
        super().__init__()
        self.model: Any = model
        config = self.model.config
        self._own_attention = "eager" if getattr(config, "attn_logit_softcapping", None) else config._attn_implementation
        register()
        self.take_head()
        self.spread: Spread | None = None
        self.use_layout(layout or found_layout(self))

    def take_head(self) -> None:
        """Put what measures response tokens in the place of the model's last layer."""
        config = self.model.config
        self.model.set_output_embeddings(ResponseHead(self.model.get_output_embeddings(), *softcap_and_scale(config)))

    @property
    def head(self) -> Any:
        """The model's last layer, a ResponseHead."""
        return self.model.get_output_embeddings()

    def use_layout(self, layout: str) -> None:
        """Lay responses out in this way from now on."""
        self.layout = layout
        self.model.set_attn_implementation(self._own_attention if layout == "padded" else PACKED)

    def spread_over(self, spread: Spread) -> None:
        """Share every sequence among ranks from now on, which must all be given the same. Raises SettingsError where it cannot be."""
        if self.layout == "padded":
            what = f"{type(self.model).__name__} is laid out as 'padded', and only packed sequences are spread over workers"
            raise SettingsError(what, "training.sequence_parallel", "set it to 1")
        spread.check(self.model.config.get_text_config().num_attention_heads)
        self.spread = spread

    def forward(self, responses: PackedResponses, wanted: Wanted) -> dict[str, Tensor]:
        """Measurements (R,) of the response tokens by name: `logp`, and what else is wanted of them."""
        return self.head(self.hidden(responses), wanted)

    def hidden(self, responses: PackedResponses) -> Tensor:
        """The hidden states (R, H) that predict the response tokens."""
        if self.layout == "padded":
            return self._padded(responses.unshared(), self.model.get_decoder(), "last_hidden_state")
        laid = responses if self.layout == "shared" else responses.unshared()
        tokens, positions, spread = laid.tokens, laid.positions, self.spread
        if spread is not None:
            tokens, positions = spread.part(tokens), spread.part(positions)
        options: dict[str, Any] = {"use_cache": False, "units": laid.units, "spread": spread}
        states = self.model.get_decoder()(input_ids=tokens[None], position_ids=positions[None], **options).last_hidden_state[0]
        if spread is not None:
            states = spread.whole(states, len(laid.tokens))
        return states.index_select(0, laid.predicting)

    def own(self, responses: PackedResponses) -> Tensor:
        """The `measurement` (R,) from the logits of the whole model as transformers has it, one padded row for each response."""
        laid = responses.unshared()
        return self._padded(laid, self.model, "logits").log_softmax(-1).gather(1, laid.labels[:, None]).squeeze(1)

    def _padded(self, laid: PackedResponses, model: Any, field: str) -> Tensor:
        """One row for each response, padded on the right; `field` is what is wanted of the model's output."""
        longest = max(unit.end - unit.start for unit in laid.units)
        starts = torch.tensor([unit.start for unit in laid.units], device=laid.tokens.device)
        lengths = torch.tensor([unit.end - unit.start for unit in laid.units], device=laid.tokens.device)
        columns = torch.arange(longest, device=laid.tokens.device)
        is_token = columns < lengths[:, None]
        places = (starts[:, None] + columns).clamp(max=len(laid.tokens) - 1)
        tokens = laid.tokens[places] * is_token
        states = getattr(model(input_ids=tokens, attention_mask=is_token.long(), use_cache=False), field)
        row = torch.searchsorted(starts, laid.predicting, right=True) - 1
        return states.flatten(0, 1).index_select(0, row * longest + laid.predicting - starts[row])


def found_layout(model: ScoringModel) -> str:
    """The first layout that measures what the padded one does, which is the architecture's own.

    Found once for a configuration in a process, so that every rank of a group finds the same; the log tells of any but the first.
    """
    weights, precision = next(model.parameters()), model.model.dtype
    key = (model.measurement + model.model.config.to_json_string(), precision)
    if key not in _FOUND:
        was_training = model.training
        model.eval()
        _FOUND[key] = _first_right(model, _sample(model).to(weights.device), _TOLERANCE[precision.itemsize])
        model.train(was_training)
        if _FOUND[key] != LAYOUTS[0]:
            logger.warning("%s is laid out as %r: slower, with the same results", type(model.model).__name__, _FOUND[key])
    return _FOUND[key]


def _first_right(model: ScoringModel, batch: PackedResponses, tolerance: float) -> str:
    name = type(model.model).__name__
    model.use_layout(LAYOUTS[-1])
    with torch.no_grad():
        expected = model.own(batch)
    if _distance(_checked(model, LAYOUTS[-1], batch), expected) > tolerance:
        raise ModelError(
            f"the last layer of {name} does something to its logits that is not known here", name, "choose another architecture"
        )
    for layout in LAYOUTS[:-1]:
        try:
            off = _distance(_checked(model, layout, batch), expected)
        except (UnsupportedAttentionError, TypeError, ValueError, RuntimeError) as error:
            logger.warning("%s cannot be laid out as %r: %s", name, layout, first_line(error))
            continue
        if off <= tolerance:
            return layout
        logger.warning("%s measures another %s when laid out as %r, by up to %.2g a token", name, model.measurement, layout, off)
    return LAYOUTS[-1]


def _distance(found: Tensor, expected: Tensor) -> float:
    """The largest difference; of halved precision the mean one, since there a single token's may be a rounding of its logit."""
    differences = (found - expected.to(found.dtype)).abs()
    return float(differences.mean() if expected.dtype.itemsize == 2 else differences.max())


def _sample(model: ScoringModel) -> PackedResponses:
    """Two prompts with three responses each, one of them absent."""
    vocabulary = int(model.model.config.get_text_config().vocab_size)
    chance = torch.Generator().manual_seed(0)
    sizes = ((24, 17, 11, 5), (3, 9, 20, 0))
    drawn = [[tuple(torch.randint(vocabulary, (length,), generator=chance).tolist()) for length in of_pair] for of_pair in sizes]
    return pack([of_pair[0] for of_pair in drawn], [of_pair[1:] for of_pair in drawn])


@torch.no_grad()
def _checked(model: ScoringModel, layout: str, batch: PackedResponses) -> Tensor:
    model.use_layout(layout)
    return model(batch, Wanted(batch.labels, batch.ends))[model.measurement]

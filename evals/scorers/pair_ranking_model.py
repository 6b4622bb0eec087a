"""PairRM's architecture (Jiang, Ren & Lin 2023, arXiv:2306.02561): one reading of a prompt and two responses tells which is better.

The published weights, `llm-blender/PairRM-hf`, are a DeBERTa-v3 with a head of two layers over the states at three marks in the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, DebertaV2Model, DebertaV2PreTrainedModel

from evals.errors import ModelError, first_line
from evals.model_files import FAULTS, local_model, read_config

# What opens the prompt and each response, by the name under which config.json has the mark's token.
_PROMPT = "source_prefix_id"
MARKS = {_PROMPT: "<|source|>", "cand1_prefix_id": "<|candidate1|>", "cand2_prefix_id": "<|candidate2|>"}
_CURE = "give a model of PairRM's architecture in the form of transformers, such as llm-blender/PairRM-hf"


class PairRankingModel(DebertaV2PreTrainedModel):
    """Reads prompt and responses together; the states at a response's mark and at the prompt's say what it is worth beside the other.

    Layers have the names and numbers of the published weights. Dropout, which only training has, is left out.
    """

    base_model_prefix = "pretrained_model"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.pretrained_model = DebertaV2Model(config)
        self.head_layer = nn.Sequential(nn.Identity(), nn.Linear(2 * size, size), nn.Tanh(), nn.Identity(), nn.Linear(size, config.n_tasks))
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, marks: Tensor) -> Tensor:
        """Logits (B,), positive where the first response is better, of tokens (B, L) with the places (B, 3) of their marks."""
        states = self.pretrained_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        prompt, first, second = states[torch.arange(len(marks), device=marks.device)[:, None], marks].unbind(1)
        worth = [self.head_layer(torch.cat([prompt, response], dim=-1)) for response in (first, second)]
        return (worth[0] - worth[1]).float().mean(-1)


@dataclass(frozen=True)
class Comparison:
    """A prompt and two responses as token ids, and where their marks are."""

    tokens: Sequence[int]
    marks: tuple[int, ...]


@dataclass(frozen=True)
class PairReader:
    """Encodes comparisons as the published model was trained on them.

    Prompt and responses are each a text of its own, with the tokenizer's special tokens around it and a mark before it. A prompt is cut
    at `source_length` tokens; the responses share what it leaves of `source_length` and twice `candidate_length`, and are cut there.
    """

    tokenizer: Any
    source_length: int
    candidate_length: int

    def readings(self, asked: Sequence[tuple[str, str, str]]) -> list[tuple[Comparison, Comparison]]:
        """Each prompt with its two responses in the order given, and with the second first."""
        texts = list(dict.fromkeys(text for each in asked for text in each))
        told = [MARKS[_PROMPT] + self._plain(text) for text in texts]
        known = dict(zip(texts, self.tokenizer(told, return_attention_mask=False, verbose=False)["input_ids"], strict=True))
        return [self._both_orders(*(known[text] for text in each)) for each in asked]

    def _both_orders(self, prompt: list[int], first: list[int], second: list[int]) -> tuple[Comparison, Comparison]:
        prompt = _cut(prompt, self.source_length)
        room = (self.source_length + 2 * self.candidate_length - len(prompt)) // 2
        first, second = _cut(first, room), _cut(second, room)
        return self._joined(prompt, first, second), self._joined(prompt, second, first)

    def _joined(self, *parts: list[int]) -> Comparison:
        """The parts one behind the other, each with its own mark in the place of the one that it was encoded with."""
        held, *_ = marks = [self.tokenizer.convert_tokens_to_ids(mark) for mark in MARKS.values()]
        tokens: list[int] = []
        places: list[int] = []
        for part, mark in zip(parts, marks, strict=True):
            places.append(len(tokens) + part.index(held))
            tokens += part
            tokens[places[-1]] = mark
        return Comparison(tokens, tuple(places))

    def _plain(self, text: str) -> str:
        """The text without what would be read as its end, or as the beginning of another."""
        for word in (*MARKS.values(), self.tokenizer.cls_token, self.tokenizer.sep_token):
            text = text.replace(word, " ")
        return text


def _cut(tokens: list[int], length: int) -> list[int]:
    """The beginning of a text that is too long, and the token that ends texts."""
    return tokens if len(tokens) <= length else [*tokens[: length - 1], tokens[-1]]


def logits(model: PairRankingModel, comparisons: Sequence[Comparison]) -> list[float]:
    """One logit per comparison; they are padded to the longest."""
    rows = [torch.tensor(comparison.tokens) for comparison in comparisons]
    tokens = pad_sequence(rows, batch_first=True, padding_value=model.config.pad_token_id or 0)
    present = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    marks = torch.tensor([comparison.marks for comparison in comparisons])
    with torch.inference_mode():
        return model(*(part.to(model.device) for part in (tokens, present, marks))).tolist()


def load_pair_ranker(name: str, precision: torch.dtype) -> tuple[Any, PairRankingModel]:
    """The tokenizer and the model, on a GPU where there is one. Weights are read from safetensors files, and no code but this is run.

    Raises ModelError for a model that cannot be loaded, or is of another architecture.
    """
    directory = local_model(name)
    config = read_config(directory)
    if config.get("model_type") != "deberta-v2" or any(key not in config for key in (*MARKS, "n_tasks")):
        raise ModelError("this model is no pair ranker: its config.json names no marks, or no DeBERTa-v2", name, _CURE)
    load: Any = PairRankingModel.from_pretrained
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        model, told = load(directory, dtype=precision, use_safetensors=True, output_loading_info=True)
    except FAULTS as error:
        raise ModelError(f"the pair ranker cannot be loaded: {first_line(error)}", name, _CURE) from error
    if told["missing_keys"]:
        raise ModelError(f"the pair ranker lacks weights, such as {sorted(told['missing_keys'])[0]}", name, _CURE)
    strange = [mark for key, mark in MARKS.items() if tokenizer.convert_tokens_to_ids(mark) != config[key]]
    if strange:
        raise ModelError(f"tokenizer and config.json have different tokens for {', '.join(strange)}", name, _CURE)
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

"""A chat model small enough to be taught on a processor in a minute: a byte-level tokenizer and a Llama."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.generation import Decoding
from evals.prompts import Message

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SPECIALS = (PAD, BEGIN, END, *ROLES)
PAD_ID, BEGIN_ID, END_ID = range(3)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# More threads than this cost more in hand-overs than these tiny matrices save.
MOST_THREADS = 8


@dataclass(frozen=True)
class Sample:
    """One sampled response; `finished` is False when the token limit cut it off."""

    text: str
    finished: bool


def make_tokenizer(texts: Sequence[str], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE with single-token roles; digits stay apart, so that numbers can be computed with."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    # A word is one token wherever it stands, at the head of a text too: copying is then the same for every place.
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast, context: int, seed: int) -> LlamaForCausalLM:
    """Build an untaught Llama of 1-3 million parameters; heads are 32 wide, the least that vLLM takes on a processor."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        pad_token_id=PAD_ID,
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        # Copying is learnt several times sooner when tokens are read and written alike from the start.
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.2)
    model.lm_head.weight.data.copy_(model.model.embed_tokens.weight.data)
    model.generation_config = GenerationConfig(pad_token_id=PAD_ID, bos_token_id=BEGIN_ID, eos_token_id=END_ID)
    return model


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Write a Hugging Face directory."""
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def sample(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    conversations: Sequence[Sequence[Message]],
    count: int,
    decoding: Decoding,
) -> list[list[Sample]]:
    """`count` responses to each conversation, in their order."""
    import torch

    prompts = [prompt_text(tokenizer, conversation) for conversation in conversations]
    # Neighbours of like length share a batch: it runs until its longest response ends.
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    width = max(1, 512 // count)
    responses: list[list[Sample]] = [[] for _ in prompts]
    settings: dict[str, Any] = {"max_new_tokens": decoding.max_tokens, "do_sample": decoding.temperature > 0}
    if decoding.temperature > 0:
        settings |= {"temperature": decoding.temperature, "top_k": 0, "top_p": decoding.top_p}
    with torch.random.fork_rng(devices=[]), all_threads():
        torch.manual_seed(decoding.seed)
        for start in range(0, len(order), width):
            chosen = order[start : start + width]
            inputs = tokenizer(
                [prompts[index] for index in chosen],
                add_special_tokens=False,
                return_tensors="pt",
                return_token_type_ids=False,
                padding=True,
                padding_side="left",
            )
            grown = model.generate(**inputs, num_return_sequences=count, **settings)  # pyright: ignore[reportAttributeAccessIssue]
            samples = [_read(tokenizer, tokens) for tokens in grown[:, inputs["input_ids"].shape[1] :].tolist()]
            for position, index in enumerate(chosen):
                responses[index] = samples[position * count : (position + 1) * count]
    return responses


@contextmanager
def all_threads() -> Iterator[None]:
    """All cores of this process, whatever a worker's environment allowed; restored afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(MOST_THREADS, len(os.sched_getaffinity(0))))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prompt_text(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]) -> str:
    """Write the conversation as text, up to and including the opening of the answer."""
    turns = [message.as_dict() for message in messages]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def _read(tokenizer: PreTrainedTokenizerFast, tokens: list[int]) -> Sample:
    finished = END_ID in tokens
    body = tokens[: tokens.index(END_ID)] if finished else tokens
    return Sample(str(tokenizer.decode(body, skip_special_tokens=True)), finished)

"""A tiny random chat model, made on the spot: real files, real tokenizer, meaningless answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.prompts import Message

CONTEXT = 1024
TEMPLATE = (
    "{% for turn in messages %}<|{{ turn['role'] }}|>{{ turn['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|pad|>"]
CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "which answer is better, m or M? reply with its label alone",
    "one two three four five",
]


def make_tiny_model(directory: Path, seed: int, hidden: int = 64, scale: float = 0.3) -> Path:
    """Write a float32 Llama of two layers with its tokenizer; `scale` large enough for answers that differ from seed to seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=CONTEXT,
        initializer_range=scale,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).float().save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_adapter(directory: Path, base: Path, seed: int, scale: float = 1.0) -> Path:
    """A LoRA adapter of rank 4 on the base's queries and values; at `scale` 0 it changes nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    shape = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), shape)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=scale if "lora_B" in name else 1.0)
    model.save_pretrained(str(directory))
    return directory


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=SPECIAL[0], pad_token=SPECIAL[4])
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def next_token_logprobs(model: Path, turns: Sequence[Message], tokens: Sequence[str]) -> dict[str, float]:
    """Compute with transformers what a judge should read: each token's log-probability, with or without a space before it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = tokenizer.apply_chat_template([turn.as_dict() for turn in turns], add_generation_prompt=True, return_dict=False)
    with torch.no_grad():
        logprobs = AutoModelForCausalLM.from_pretrained(model)(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    numbers = {token: {tokenizer.get_vocab().get(variant) for variant in (token, f"Ġ{token}")} - {None} for token in tokens}
    return {token: float(logprobs[sorted(found)].logsumexp(0)) for token, found in numbers.items()}

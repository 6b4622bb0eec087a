"""What the benchmarks of the step train on: seeded pairs, a small Llama, and a clock."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SEED, LONGEST = 186, 1024

Pair = Mapping[str, list[int]]


def make_pairs(vocab: int, count: int) -> list[Pair]:
    """Lengths as in chat preference data: prompts about 150 tokens, responses about 260, each side up to 30 % off the other."""
    chance = np.random.default_rng(SEED)
    pairs = []
    for _ in range(count):
        prompt = int(np.clip(chance.lognormal(np.log(150), 0.85), 10, 800))
        length = chance.lognormal(np.log(260), 0.5)
        sides = [int(np.clip(length * (1 + sign * 0.3 * chance.random()), 50, min(600, LONGEST - prompt))) for sign in (1, -1)]
        chance.shuffle(sides)
        lengths = {"prompt_ids": prompt, "chosen_ids": sides[0], "rejected_ids": sides[1]}
        pairs.append({name: chance.integers(5, vocab, size).tolist() for name, size in lengths.items()})
    return pairs


def token_count(pairs: list[Pair]) -> int:
    """Tokens of all sequences: a pair's prompt counts twice, as often as anybody but us computes it."""
    return sum(2 * len(pair["prompt_ids"]) + len(pair["chosen_ids"]) + len(pair["rejected_ids"]) for pair in pairs)


def make_model(vocab: int, directory: Path) -> Path:
    """A Llama of 9.4 million parameters besides its tied embeddings, in float32, with a tokenizer that only pads."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    }
    special: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlamaConfig(vocab_size=vocab, max_position_embeddings=2048, tie_word_embeddings=True, **shape, **special)
    LlamaForCausalLM(config).save_pretrained(directory)
    make_tokenizer().save_pretrained(directory)
    return directory


def make_tokenizer() -> Any:
    """A tokenizer that only pads."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


class Clock:
    """Leaves out the first pass over the pairs, then takes CPU seconds and peak memory of the second, above that before the first."""

    def begin(self) -> None:
        self.before = _status("VmRSS")

    def start(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self.seconds = -time.process_time()

    def stop(self, **more: float) -> dict[str, float]:
        self.seconds += time.process_time()
        return {"seconds": self.seconds, "peak_mb": (_status("VmHWM") - self.before) / 1024, **more}


class CudaClock:
    """The same on a GPU: seconds of the wall, and memory allocated above that before the first step."""

    def begin(self) -> None:
        import torch

        torch.cuda.synchronize()
        self.before = torch.cuda.memory_allocated()

    def start(self) -> None:
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        self.seconds = -time.perf_counter()

    def stop(self, **more: float) -> dict[str, float]:
        import torch

        torch.cuda.synchronize()
        self.seconds += time.perf_counter()
        return {"seconds": self.seconds, "peak_mb": (torch.cuda.max_memory_allocated() - self.before) / 2**20, **more}


def _status(name: str) -> int:
    """A figure of /proc/self/status, in KiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])

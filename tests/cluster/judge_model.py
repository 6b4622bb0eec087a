"""Two language models that were never taught: one that answers anything, and one that says a verdict about whatever it is shown."""

from pathlib import Path
from typing import Any

# Each holds a label for every benchmark: Arena-Hard's, MT-Bench's rating and its winner.
VERDICTS = ("[[A>B]] [[9]]", "[[B>A]] [[3]]", "[[A=B]] [[6]]", "[[A>>B]] [[10]]")
CONTEXT = 8192


def make_candidate(directory: Path, texts: list[str], seed: int) -> Path:
    """A model whose answers differ from prompt to prompt and from seed to seed."""
    model, tokenizer = _made(texts, seed)
    _save(directory, model, tokenizer)
    return directory


def make_judge(directory: Path, texts: list[str]) -> Path:
    """A model that says one of VERDICTS and ends; which one, the attention over all it was shown decides."""
    import torch

    model, tokenizer = _made(texts, seed=9)
    said = [tokenizer.convert_tokens_to_ids(verdict) for verdict in VERDICTS]
    turn, end = tokenizer.convert_tokens_to_ids("<|assistant|>"), tokenizer.eos_token_id
    embeddings, head = model.model.embed_tokens.weight.data, model.lm_head.weight.data
    speak, stop = torch.nn.functional.normalize(torch.randn(2, embeddings.shape[1], generator=torch.Generator().manual_seed(0)))
    embeddings[turn] += 2 * speak
    embeddings[said] = 20 * stop
    head[said] = 6 * speak + 0.3 * torch.randn(len(said), embeddings.shape[1], generator=torch.Generator().manual_seed(1))
    head[end] = 6 * stop
    for layer in model.model.layers:
        # Attention that looks at few places and counts: what stands there differs from prompt to prompt.
        layer.self_attn.q_proj.weight.data *= 20
        layer.self_attn.o_proj.weight.data *= 5
    _save(directory, model, tokenizer)
    return directory


def _made(texts: list[str], seed: int) -> tuple[Any, Any]:
    from orchestrator.worlds.small_model import make_model, make_tokenizer

    tokenizer = make_tokenizer(texts, 1024, CONTEXT)
    tokenizer.add_tokens(list(VERDICTS))
    return make_model(tokenizer, CONTEXT, seed), tokenizer


def _save(directory: Path, model: Any, tokenizer: Any) -> None:
    from orchestrator.worlds.small_model import save

    save(model, tokenizer, directory)

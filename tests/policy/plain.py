"""What scores should be: plain transformers, one unpadded sequence at a time, in float64 once the logits are there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orchestrator.preferences.pairs import TokenizedPair

GROUPS = ([[0], [1], [2], [3], [4]], [[0, 1, 2, 3, 4]], [[4, 2], [3, 1, 0]])
_SIZES = ((3, 1, 9), (17, 5, 2), (1, 30, 12), (8, 8, 8), (2, 1, 1))
_OTHERS = ((), (4, 6), (3,), (), (2, 9, 1))


def uneven_pairs(others: bool = False) -> list[TokenizedPair]:
    """Pairs of very different lengths, each with a response of the next as mismatched; `others` adds none to three further responses."""
    chance = torch.Generator().manual_seed(0)
    sides = [(_tokens(prompt, chance), _tokens(chosen, chance), _tokens(rejected, chance)) for prompt, chosen, rejected in _SIZES]
    further = [tuple(_tokens(length, chance) for length in sizes if others) for sizes in _OTHERS]
    mismatched = [sides[(index + 1) % len(sides)][1 + index % 2] for index in range(len(sides))]
    return [
        TokenizedPair(*side, 1.5, 0.5, more, tuple(0.1 * (1 + index + place) for place in range(len(more))), mismatched[index])
        for index, (side, more) in enumerate(zip(sides, further, strict=True))
    ]


def plain_model(directory: Path) -> Any:
    """The model as transformers loads it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()


def distributions(model: Any, prompt: Sequence[int], response: Sequence[int]) -> Tensor:
    """Log-probabilities (R, V) of every next token at the response's positions."""
    return model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)


def token_logps(model: Any, prompt: Sequence[int], response: Sequence[int]) -> Tensor:
    """Log-probabilities (R,) of the response's tokens."""
    labels = torch.tensor([response], dtype=torch.long).T
    return distributions(model, prompt, response).gather(1, labels).squeeze(1)


def plain_logp(model: Any, prompt: Sequence[int], response: Sequence[int]) -> float:
    """The response's summed log-probability."""
    with torch.no_grad():
        return float(token_logps(model, prompt, response).sum())


def plain_prefix_logps(model: Any, pair: TokenizedPair) -> tuple[float, float]:
    """Chosen and rejected, as far as both have tokens."""
    shorter = min(len(pair.chosen), len(pair.rejected))
    with torch.no_grad():
        chosen, rejected = (token_logps(model, pair.prompt, response) for response in (pair.chosen, pair.rejected))
    return float(chosen[:shorter].sum()), float(rejected[:shorter].sum())


def plain_kl(policy: Any, reference: Any, prompt: Sequence[int], response: Sequence[int]) -> Tensor:
    """KL(reference || policy), a scalar that carries the policy's gradient."""
    ours = distributions(policy, prompt, response)
    with torch.no_grad():
        theirs = distributions(reference, prompt, response)
    return (theirs.exp() * (theirs - ours)).sum()


def plain_log_collision(model: Any, prompt: Sequence[int], response: Sequence[int]) -> float:
    """The log-probability that a second draw of every token agrees with a first."""
    with torch.no_grad():
        return float(distributions(model, prompt, response).exp().square().sum(-1).log().sum())


def per_side(pairs: Sequence[TokenizedPair], measure: Callable[[TokenizedPair, Sequence[int]], float]) -> tuple[list[float], list[float]]:
    """A measure of every pair's chosen and rejected response."""
    return [measure(pair, pair.chosen) for pair in pairs], [measure(pair, pair.rejected) for pair in pairs]


def _tokens(count: int, chance: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(5, 250, (count,), generator=chance).tolist())

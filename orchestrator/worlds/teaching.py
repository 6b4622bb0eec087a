"""Teaches a small model from demonstrations, on the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from evals.prompts import Message
from orchestrator.worlds.small_model import END, all_threads, prompt_text

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

IGNORED = -100
# With it DPO gains most at learning rates of 1e-4 to 3e-4.
WEIGHT_FACTOR = 8.0


@dataclass(frozen=True)
class Demonstration:
    """A conversation and the response to learn."""

    messages: tuple[Message, ...]
    response: str


@dataclass(frozen=True)
class Schedule:
    """How long to learn; `learn_prompts` also predicts the tokens of the conversation."""

    steps: int
    batch: int
    seed: int
    share_of_rate: float = 1.0
    learn_prompts: bool = False


def teach(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    demonstrations: Sequence[Demonstration],
    schedule: Schedule,
    progress: Callable[[str], None],
) -> None:
    """Next-token learning with warm-up and decay; the same arguments give the same weights."""
    import torch

    encoded = _encode(tokenizer, demonstrations, model.config.max_position_embeddings, schedule.learn_prompts)
    batches = _batches(encoded, schedule)
    optimizers = _optimizers(model)
    rates = [
        torch.optim.lr_scheduler.LambdaLR(each, lambda step: schedule.share_of_rate * _rate(step, schedule.steps)) for each in optimizers
    ]
    model.train()
    with all_threads():
        for step in range(1, schedule.steps + 1):
            loss = _loss(model, *next(batches))
            model.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for each in (*optimizers, *rates):
                each.step()
            if step % max(1, schedule.steps // 5) == 0:
                progress(f"taught {step} of {schedule.steps} steps, loss {loss.item():.2f}")
    model.eval()


def enlarge(model: LlamaForCausalLM, factor: float = WEIGHT_FACTOR) -> None:
    """Make every matrix `factor` times as large and every norm's gain as much smaller: the model computes the same.

    AdamW moves each weight by about the learning rate, whatever the weight's size. In a narrow model a rate of 1e-4 to 1e-3, usual in
    alignment, would overwrite what was learnt; larger weights make it as gentle as it is in a wide one. The residual stream grows by
    `factor` too, which the norms undo. A power of two keeps every digit.
    """
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(factor if weight.ndim == 2 else 1 / factor)


def _optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest: AdamW alone takes several times as many steps to learn copying."""
    import torch

    from orchestrator.worlds.muon import Muon

    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    inside = {id(weight) for weight in matrices}
    rest = [weight for weight in model.parameters() if id(weight) not in inside]
    return [
        Muon(matrices, lr=0.01, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=6e-3, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def _rate(step: int, steps: int) -> float:
    """Give the share of the full learning rate: up over the first twentieth, down over the last two fifths."""
    return min((step + 1) / max(1, steps // 20), 1.0, (steps - step) / (0.4 * steps))


Encoded = tuple[list[int], list[int]]


def _encode(
    tokenizer: PreTrainedTokenizerFast, demonstrations: Sequence[Demonstration], context: int, learn_prompts: bool
) -> list[Encoded]:
    """Tokens and targets of each demonstration, cut to the context; a target that is not learnt is IGNORED."""
    prompts = tokenizer([prompt_text(tokenizer, each.messages) for each in demonstrations], add_special_tokens=False)["input_ids"]
    answers = [each.response + END for each in demonstrations]
    responses = tokenizer(answers, add_special_tokens=False, truncation=True, max_length=context)["input_ids"]
    encoded = []
    for prompt, response in zip(prompts, responses, strict=True):
        head = prompt if learn_prompts else [IGNORED] * len(prompt)
        encoded.append(((prompt + response)[:context], (head + response)[:context]))
    return encoded


def _batches(encoded: Sequence[Encoded], schedule: Schedule) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless shuffled batches (batch, longest), each of like lengths, so that little of the work is padding."""
    import torch

    rng = Random(schedule.seed)
    while True:
        shuffled = rng.sample(encoded, len(encoded))
        window = 16 * schedule.batch
        batches = []
        for start in range(0, len(shuffled), window):
            alike = sorted(shuffled[start : start + window], key=lambda pair: len(pair[0]))
            batches += [alike[first : first + schedule.batch] for first in range(0, len(alike), schedule.batch)]
        rng.shuffle(batches)
        for batch in batches:
            longest = max(len(tokens) for tokens, _ in batch)
            # A causal model never looks right, so padding on the right needs no mask, and zero serves as well as any token.
            tokens = torch.tensor([row + [0] * (longest - len(row)) for row, _ in batch])
            targets = torch.tensor([row + [IGNORED] * (longest - len(row)) for _, row in batch])
            yield tokens, targets


def _loss(model: LlamaForCausalLM, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    import torch

    hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1]
    learnt = targets[:, 1:] != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[learnt]), targets[:, 1:][learnt])

"""The training step as the benchmarks run it: bf16 autocast over float32 weights, as TRL's default is."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from step_data import Pair

from orchestrator.objectives import METHODS
from orchestrator.policy import attention, scoring
from orchestrator.policy.head import Wanted
from orchestrator.policy.scoring import reference_scores
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.packing import split_evenly
from orchestrator.preferences.pairs import TokenizedPair, collate, tokens_of
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.step import MicroBatch, train_step

LAYOUTS = {"ours_packed": "packed", "ours_padded": "padded"}


def tokenized(raw: Sequence[Pair]) -> list[TokenizedPair]:
    return [TokenizedPair(tuple(pair["prompt_ids"]), tuple(pair["chosen_ids"]), tuple(pair["rejected_ids"])) for pair in raw]


def lever_off(variant: str) -> AbstractContextManager[Any]:
    """What a variant does without."""
    if variant == "ours_no_guess":
        return patch.object(scoring._Assembly, "guess", lambda *_: None)
    if variant == "ours_torch_attention":
        return patch.object(attention, "ROWS", 1 << 30)
    return nullcontext()


def steps_of(pairs: Sequence[TokenizedPair], at_once: int, budget: int, reference: Any, keep_model: bool) -> list[list[MicroBatch]]:
    """The pairs in steps of `at_once`, each under the token budget; the reference's scores are computed before, unless at every step."""
    made = []
    for start in range(0, len(pairs), at_once):
        batch = range(start, min(start + at_once, len(pairs)))
        made.append([])
        for numbers in split_evenly([tokens_of(pairs[pair]) for pair in batch], 1, budget)[0]:
            packed = collate(pairs, [batch[number] for number in numbers])
            scores = None if reference is None else reference if keep_model else _scores(reference, packed)
            made[-1].append(MicroBatch(packed, scores))
    return made


def _scores(reference: ScoringModel, packed: Any) -> Any:
    device = next(reference.parameters()).device
    return reference_scores(reference, packed.to(device))


def ours(variant: str, model: ScoringModel, reference: ScoringModel, raw: Sequence[Pair], options: Any, clock: Any) -> dict[str, float]:
    """Two passes over the pairs, of which the second is timed; `options` are the settings, `at_once` pairs and `budget` tokens."""
    settings, at_once, budget = options
    objective = METHODS["simpo" if variant == "ours_simpo" else "dpo"]()
    for scored in (model, reference):
        scored.use_layout(LAYOUTS.get(variant, "shared"))
    engine, pairs = LocalEngine(model, settings), tokenized(raw)
    needed = reference.to(engine.device) if objective.needs.reference else None
    with lever_off(variant):
        with _autocast(engine, settings):
            steps = steps_of(pairs, at_once, budget, needed, variant == "ours_live_reference")
        clock.begin()
        for is_timed in (False, True):
            if is_timed:
                clock.start()
            for step in steps:
                # Entered anew for each step: autocast keeps what it made of the weights, which an update outdates.
                with _autocast(engine, settings):
                    train_step(engine, objective, objective.initial_state(), step, sum(len(part.pairs) for part in step), 1e-6)
        return clock.stop()


def _autocast(engine: LocalEngine, settings: Any) -> Any:
    return torch.autocast(engine.device.type, torch.bfloat16, enabled=settings.precision == "fp32")


def largest_difference(model: ScoringModel, plain: Any, raw: Sequence[Pair]) -> float:
    """Of a token's log-probability from plain transformers, sequence by sequence, in the models' own precision."""
    pairs, device = tokenized(raw), next(model.parameters()).device
    batch = collate(pairs, range(len(pairs))).responses.to(device)
    with torch.no_grad():
        found = model(batch, Wanted(batch.labels, batch.ends))["logp"]
        expected = []
        for pair in pairs:
            for response in (pair.chosen, pair.rejected):
                logits = plain(torch.tensor([[*pair.prompt, *response]], device=device)).logits[0, len(pair.prompt) - 1 : -1]
                labels = torch.tensor(response, device=device)[:, None]
                expected.append(logits.float().log_softmax(-1).gather(1, labels).squeeze(1))
    return float((found - torch.cat(expected)).abs().max())

"""Held-out pairs are scored at each checkpoint by the method's own rewards, and training does not notice."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evals.prompts import Message
from orchestrator.objectives import METHODS, Objective, combine
from orchestrator.objectives.contract import PairLoss, State
from orchestrator.policy.loading import load_reference
from orchestrator.policy.scores import PairScores
from orchestrator.policy.scoring import reference_scores, score_pairs
from orchestrator.preferences.holding_out import hold_out
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair, collate
from orchestrator.preferences.tokenization import tokenize
from orchestrator.settings import DataSettings, LoraSettings
from orchestrator.training.inputs import load_inputs
from orchestrator.training.passes import in_step
from orchestrator.training.records import training_of
from orchestrator.training.run import TrainingRun
from tests.conftest import make_pairs
from tests.training.ranks import on_ranks
from tests.training.runs import FAST, metrics, tiny_run, train_all, train_locally, weights

FIGURES = ("validation_accuracy", "validation_margin", "validation_pairs")
SETTINGS = FAST.model_copy(update={"steps": 4, "checkpoints": 2, "micro_batch_tokens": 64})
# Odd, so that two ranks have unequal parts.
HELD = 11
# Without and with a reference; of the whole batch, with mismatched responses, by logits of the reference, with all scored responses.
KINDS = ("simpo", "dpo", "kto", "epsilon_dpo", "tdpo2", "rloo", "dpo+sft")


def objective_of(kind: str) -> Objective:
    if "+" in kind:
        return combine([METHODS[name] for name in kind.split("+")])()
    return METHODS[kind]()


def held_out(run: TrainingRun) -> TrainingRun:
    """The same run without its last pairs, which are held out."""
    return replace(run, pairs=run.pairs[:-HELD], validation=run.pairs[-HELD:])


def figures(run: TrainingRun) -> list[dict[str, Any]]:
    """What was told of held-out pairs, step by step."""
    return [{name: step[name] for name in FIGURES if name in step} for step in metrics(run)]


def learned(run: TrainingRun) -> list[Mapping[str, Any]]:
    """All that was told but for held-out pairs and time."""
    return [{name: value for name, value in step.items() if name not in (*FIGURES, "telemetry")} for step in metrics(run)]


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_the_same_to_the_last_digit_with_held_out_pairs_and_without(
    kind: str, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    watched = held_out(tiny_run(objective_of(kind), tiny_model, tokenizer, tokenized_pairs, tmp_path / "watched", SETTINGS))
    alone = tiny_run(objective_of(kind), tiny_model, tokenizer, tokenized_pairs[:-HELD], tmp_path / "alone", SETTINGS)
    train_locally(watched)
    chance = torch.get_rng_state()
    train_locally(alone)
    assert torch.equal(torch.get_rng_state(), chance)
    assert learned(watched) == learned(alone)
    found, expected = weights(watched, 4), weights(alone, 4)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [sorted(step) for step in figures(alone)] == [[]] * 4
    assert [sorted(step) for step in figures(watched)] == [[], sorted(FIGURES)] * 2


@pytest.mark.parametrize("kind", ["dpo", "simpo", "kto"])
def test_the_figures_are_those_of_a_plain_computation(
    kind: str, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = held_out(tiny_run(objective_of(kind), tiny_model, tokenizer, tokenized_pairs, tmp_path, SETTINGS))
    train_locally(run)
    cpu, needs = torch.device("cpu"), run.objective.needs
    batch = collate(run.validation, range(HELD), mismatched=needs.mismatched)
    policy = load_reference(str(run.directory / "step-000004" / "model"), torch.float32, cpu)
    base = reference_scores(load_reference(str(tiny_model), torch.float32, cpu), batch) if needs.reference else None
    with torch.no_grad():
        outcome = run.objective(score_pairs(policy, base, batch, needs), metrics(run)[3]["state"])
    margins = [float(a - b) for a, b in zip(outcome.chosen_reward, outcome.rejected_reward, strict=True)]
    found = figures(run)[3]
    assert found["validation_accuracy"] == pytest.approx(sum(margin > 0 for margin in margins) / HELD)
    assert found["validation_margin"] == pytest.approx(sum(margins) / HELD, rel=1e-4)
    assert found["validation_pairs"] == HELD
    assert training_of(run.directory, 4).items() >= found.items()
    assert found != figures(run)[1]


def test_pairs_that_are_easy_are_learned_and_those_turned_round_are_not(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = held_out(tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "right", FAST))
    turned = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in run.validation]
    train_locally(run)
    against = replace(run, validation=turned, directory=tmp_path / "turned")
    train_locally(against)
    right, wrong = figures(run)[-1], figures(against)[-1]
    assert right["validation_accuracy"] > 0.6
    assert wrong["validation_accuracy"] == pytest.approx(1 - right["validation_accuracy"])
    assert wrong["validation_margin"] == pytest.approx(-right["validation_margin"], rel=1e-4)


def test_a_resumed_run_tells_the_same_of_held_out_pairs(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    whole = held_out(tiny_run(METHODS["alpha_dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path / "whole", SETTINGS))
    broken = replace(whole, directory=tmp_path / "broken")
    train_locally(whole)
    train_locally(broken, stop_after=2)
    train_locally(broken)
    assert figures(broken) == figures(whole)


@dataclass(frozen=True)
class Flat(Objective):
    """Rewards nothing."""

    name = "flat"

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """0 mw"""
        zero = 0 * pair.chosen.logp
        return PairLoss(zero, zero, zero)


@dataclass(frozen=True)
class Particular(Objective):
    """Refuses batches of any but one size."""

    name = "particular"

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-mw"""
        torch.rand(1)
        if len(pair.chosen.logp) == HELD:
            raise ValueError("not so many")
        return PairLoss(-pair.chosen.mean_logp, pair.chosen.logp, pair.rejected.logp)


@dataclass(frozen=True)
class Boundless(Flat):
    """Rewards that are no numbers."""

    name = "boundless"

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-mw"""
        return PairLoss(-pair.chosen.mean_logp, pair.chosen.logp * math.inf, pair.chosen.logp * math.inf)


def test_equal_rewards_are_half_right(tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path) -> None:
    run = held_out(tiny_run(Flat(), tiny_model, tokenizer, tokenized_pairs, tmp_path, SETTINGS))
    train_locally(run)
    assert figures(run)[-1] == {"validation_accuracy": 0.5, "validation_margin": 0.0, "validation_pairs": HELD}


@pytest.mark.parametrize("objective", [Particular(), Boundless()], ids=lambda objective: objective.name)
def test_rewards_that_cannot_be_had_are_absent_and_end_no_run(
    objective: Objective, tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = held_out(tiny_run(objective, tiny_model, tokenizer, tokenized_pairs, tmp_path, SETTINGS))
    train_locally(run)
    assert figures(run) == [{}] * 4
    assert training_of(run.directory, 4).keys() == {"health", "cure", "telemetry"}


def test_what_an_objective_draws_for_held_out_pairs_is_not_missed_in_training(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = held_out(tiny_run(Particular(), tiny_model, tokenizer, tokenized_pairs, tmp_path / "run", SETTINGS))
    train_locally(run)
    chance = torch.get_rng_state()
    train_locally(replace(run, validation=(), directory=tmp_path / "alone"))
    assert torch.equal(torch.get_rng_state(), chance)


@pytest.mark.cluster
def test_two_ranks_tell_what_one_tells_at_every_stage_and_with_adapters(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [(kind, {"zero_stage": 3}) for kind in ("simpo", "kto", "tdpo2")]
    cases += [("dpo", {"zero_stage": stage}) for stage in (0, 1, 2)]
    cases += [("dpo", {"zero_stage": 3, "lora": LoraSettings(rank=2)}), ("simpo", {"sequence_parallel": 2})]
    together, alone = [], []
    for number, (kind, changes) in enumerate(cases):
        base = tiny_run(
            objective_of(kind), tiny_model, tokenizer, tokenized_pairs, tmp_path / f"{number}", SETTINGS.model_copy(update=changes)
        )
        # A single pair leaves one of the ranks without any.
        base = replace(base, pairs=base.pairs[:-HELD], validation=base.pairs[-1:] if number in (0, 3) else base.pairs[-HELD:])
        together.append(base)
        plain = base.settings.model_copy(update={"zero_stage": 0, "sequence_parallel": 1})
        alone.append(replace(base, settings=plain, directory=tmp_path / f"{number}" / "alone", reference_cache=str(tmp_path / "cache")))
    on_ranks(2, train_all, together)
    for case, several, one in zip(cases, together, alone, strict=True):
        train_locally(one)
        for found, expected in zip(figures(several), figures(one), strict=True):
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-6), case


def test_ranks_run_equally_often_and_their_own_passes_have_every_pair_once(
    tiny_model: Path, tokenizer: Any, tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path
) -> None:
    run = tiny_run(METHODS["dpo"](), tiny_model, tokenizer, tokenized_pairs, tmp_path, SETTINGS)
    for pairs, shares in ((range(2), 3), (range(1), 2), (range(5, 40), 3), (range(0), 2)):
        engines: list[Any] = [SimpleNamespace(share=share, shares=shares, gather=lambda count: [count, 9]) for share in range(shares)]
        passes = [in_step(run, engine, pairs) for engine in engines]
        assert [len(of_rank.batches) for of_rank in passes] == [9 if pairs else 0] * shares
        assert sorted(pair for of_rank in passes for batch in of_rank.batches[: of_rank.own] for pair in batch) == list(pairs)


def test_pairs_of_one_prompt_stay_on_one_side_and_a_twentieth_is_the_most(tokenized_pairs: Sequence[TokenizedPair]) -> None:
    pairs = [replace(pair, prompt=(number // 3, number // 3 + 1)) for number, pair in enumerate([*tokenized_pairs] * 4)]
    kept, held = hold_out(pairs, 64)
    assert 0 < len(held) <= len(pairs) // 20
    assert len(kept) + len(held) == len(pairs)
    assert {pair.prompt for pair in kept}.isdisjoint({pair.prompt for pair in held})
    assert held == [pair for pair in pairs if pair in held]
    assert {pair.prompt for pair in hold_out(pairs[::-1], 64)[1]} == {pair.prompt for pair in held}
    assert {pair.prompt for pair in hold_out(pairs, 6)[1]} <= {pair.prompt for pair in held}
    assert hold_out(pairs, 0) == (pairs, [])
    assert hold_out(pairs[:19], 64) == (pairs[:19], [])


def distinct_pairs(count: int) -> list[PreferencePair]:
    """Pairs whose prompts and responses are all different."""
    return [
        replace(pair, prompt=(Message("user", f"say {number}"),), chosen=f"{pair.chosen} {number}", rejected=f"{pair.rejected} {number}")
        for number, pair in enumerate(make_pairs(count))
    ]


def test_no_response_of_a_held_out_pair_is_trained_on(tokenizer: Any) -> None:
    data, whole = (tokenize(tokenizer, distinct_pairs(64), 64, held_out=count) for count in (3, 0))
    assert len(data.validation) == 3 and whole.validation == ()
    held = {pair.prompt for pair in data.validation}
    assert [pair.prompt for pair in whole.pairs if pair.prompt not in held] == [pair.prompt for pair in data.pairs]
    own = {response for pair in data.pairs for response in (pair.chosen, pair.rejected)}
    assert {pair.mismatched for pair in data.pairs} <= own


def test_the_settings_say_how_many_are_held_out(tiny_model: Path, tmp_path: Path) -> None:
    pairs = distinct_pairs(200)
    rows = [{"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = DataSettings(train=str(tmp_path / "train.jsonl"), context=64)
    sizes = [load_inputs(str(tiny_model), data.model_copy(update={"validation_pairs": count})) for count in (64, 4, 0)]
    assert [(len(inputs.pairs), len(inputs.validation)) for inputs in sizes] == [(190, 10), (196, 4), (200, 0)]

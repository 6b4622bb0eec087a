"""What holds for every method in METHODS."""

import dataclasses

import pytest
import torch

from orchestrator.distributions import Choice
from orchestrator.objectives import METHODS, Objective, make_objective
from orchestrator.objectives.contract import PairLoss, State
from tests.objectives.scores import at_reference, extreme_scores, part, random_scores


@pytest.fixture(params=METHODS)
def objective(request: pytest.FixtureRequest) -> Objective:
    return METHODS[request.param]()


def gradients(objective: Objective, scores: object, state: State) -> tuple[PairLoss, torch.Tensor, torch.Tensor]:
    outcome = objective(scores, state)  # pyright: ignore[reportArgumentType]
    chosen, rejected = torch.autograd.grad(
        outcome.loss.sum(),
        (scores.chosen.logp, scores.rejected.logp),  # pyright: ignore[reportAttributeAccessIssue]
    )
    return outcome, chosen, rejected


def test_one_finite_loss_and_two_rewards_for_each_pair(objective: Objective) -> None:
    outcome, chosen, rejected = gradients(objective, random_scores(7), objective.initial_state())
    for values in (outcome.loss, outcome.chosen_reward, outcome.rejected_reward, chosen, rejected):
        assert values.shape == (7,)
        assert values.isfinite().all()


def test_at_the_reference_policy_the_chosen_is_pushed_up_and_the_rejected_never_is(objective: Objective) -> None:
    _, chosen, rejected = gradients(objective, at_reference(), objective.initial_state())
    assert (chosen < 0).all()
    assert (rejected >= 0).all()


def test_float32_stays_finite_where_naive_formulas_overflow(objective: Objective) -> None:
    outcome, chosen, rejected = gradients(objective, extreme_scores(), objective.initial_state())
    assert outcome.loss.isfinite().all()
    assert chosen.isfinite().all()
    assert rejected.isfinite().all()


def test_a_batch_of_one_pair_at_the_reference_is_finite(objective: Objective) -> None:
    state = objective.initial_state()
    for _ in range(3):
        outcome, chosen, _ = gradients(objective, at_reference(1), state)
        assert outcome.loss.isfinite().all()
        assert chosen.isfinite().all()
        state = objective.next_state(state, {key: float(value) for key, value in outcome.statistics.items()})


def test_the_state_is_the_same_however_the_step_is_split(objective: Objective) -> None:
    scores, state = random_scores(8), objective.initial_state()
    for _ in range(2):
        whole = objective(scores, state)
        halves = [objective(part(scores, where), state) for where in (slice(0, 4), slice(4, 8))]
        assert torch.allclose(whole.loss, torch.cat([half.loss for half in halves]), rtol=1e-12)
        averaged = {key: float(sum(half.statistics[key] for half in halves)) / 2 for key in whole.statistics}
        split = objective.next_state(state, averaged)
        state = objective.next_state(state, {key: float(value) for key, value in whole.statistics.items()})
        assert split == pytest.approx(state, rel=1e-12)


def test_calling_it_changes_neither_the_objective_nor_the_state(objective: Objective) -> None:
    state = dict(objective.initial_state())
    before = dict(state)
    objective(random_scores(4), state)
    assert state == before
    assert dataclasses.is_dataclass(objective)
    with pytest.raises(dataclasses.FrozenInstanceError):
        objective.beta = 1.0  # pyright: ignore[reportAttributeAccessIssue]


def test_only_the_policy_carries_gradients(objective: Objective) -> None:
    scores = random_scores(4)
    reference = scores.chosen.known_reference_logp.requires_grad_()
    outcome = objective(scores, objective.initial_state())
    found = torch.autograd.grad(outcome.loss.sum(), (scores.chosen.logp, reference), allow_unused=True)
    assert found[0] is not None
    statistics_carry_none = all(not value.requires_grad for value in outcome.statistics.values())
    assert statistics_carry_none


def test_what_it_needs_is_asked_for_and_nothing_else_is_read(objective: Objective) -> None:
    full = random_scores(4)
    needs = objective.needs

    def bare(response: object) -> object:
        changes = {} if needs.reference else {"reference_logp": None}
        return dataclasses.replace(response, **(changes if needs.reward else changes | {"reward": None}))  # pyright: ignore

    kept = full.neighbour_step if needs.neighbour_step is not None else None
    scores = dataclasses.replace(full, chosen=bare(full.chosen), rejected=bare(full.rejected), neighbour_step=kept)  # pyright: ignore
    assert objective(scores, objective.initial_state()).loss.isfinite().all()


def test_every_searched_hyperparameter_exists_and_every_range_is_usable(objective: Objective) -> None:
    known = objective.hyperparameters()
    for key, distribution in objective.search_space.items():
        assert key in known
        ends = distribution.options if isinstance(distribution, Choice) else (distribution.low, distribution.high)
        for value in ends:
            made = make_objective(objective.name, {key: value})
            outcome, *_ = gradients(made, random_scores(4), made.initial_state())
            assert outcome.loss.isfinite().all()


def test_the_card_is_complete(objective: Objective) -> None:
    assert METHODS[objective.name] is type(objective)
    assert "arXiv:" in objective.paper
    assert "Choose it" in (type(objective).__doc__ or "")

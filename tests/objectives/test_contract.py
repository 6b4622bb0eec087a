"""What holds for every method in METHODS, and for its variants."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from orchestrator.distributions import Choice
from orchestrator.objectives import METHODS, Objective, make_objective
from orchestrator.objectives.kto import KTO
from orchestrator.objectives.wpo import WPO
from orchestrator.policy.scores import Needs, PairScores, ResponseScores
from tests.objectives.cases import CASES, Case, each_case, each_method
from tests.objectives.scores import after, at_reference, extreme_scores, gradients, part, random_scores, with_others

DERIVED = {"maximum_po", "hpo", "r_dpo"}
NOT_PUSHED_APART = {
    "apo_down": "both sides are to fall, and where the policy is the reference the two pulls on the chosen cancel",
    "discopop": "it is not convex, and with the published tau its slope at margin 0 has the other sign",
    "beta_dpo": "pairs that its filter leaves out are not pushed at all",
}


@each_case
def test_one_finite_loss_and_two_rewards_for_each_pair(case: Case) -> None:
    outcome, slopes = gradients(case.objective, case.random(7), case.objective.initial_state())
    for values in (outcome.loss, outcome.chosen_reward, outcome.rejected_reward, slopes["chosen.logp"], slopes["rejected.logp"]):
        assert values.shape == (7,)
        assert values.isfinite().all()
    assert all(value.isfinite().all() for value in slopes.values())
    assert all(value.shape == () and not value.requires_grad for value in outcome.statistics.values())


@each_case
def test_the_loss_has_the_dtype_of_the_scores(case: Case) -> None:
    outcome = case.objective(case.extreme(), case.objective.initial_state())
    assert {outcome.loss.dtype, outcome.chosen_reward.dtype, outcome.rejected_reward.dtype} == {torch.float32}


@each_method
def test_at_the_reference_policy_the_chosen_is_pushed_up_and_the_rejected_never_is(method: type[Objective]) -> None:
    objective = method()
    _, slopes = gradients(objective, at_reference(), objective.initial_state())
    apart = bool((slopes["chosen.logp"] < 0).all() and (slopes["rejected.logp"] >= 0).all())
    assert apart is (objective.name not in NOT_PUSHED_APART), NOT_PUSHED_APART.get(objective.name)


def test_the_methods_that_do_not_push_apart_at_the_reference_do_what_their_reason_says() -> None:
    slopes = {name: gradients(METHODS[name](), at_reference(), {})[1] for name in NOT_PUSHED_APART}
    down, pulled, filtered = (tuple(slopes[name][f"{side}.logp"] for side in ("chosen", "rejected")) for name in NOT_PUSHED_APART)
    assert down[0].tolist() == pytest.approx([0.0] * 8, abs=1e-15)
    assert (down[1] > 0).all()
    assert (pulled[0] > 0).all()
    assert (pulled[1] < 0).all()
    assert (filtered[0] <= 0).all()
    assert (filtered[0] == 0).sum() == 2
    assert torch.equal(filtered[0], -filtered[1])


@each_case
def test_float32_stays_finite_where_naive_formulas_overflow(case: Case) -> None:
    state = case.objective.initial_state()
    for _ in range(2):
        outcome, slopes = gradients(case.objective, case.extreme(), state)
        for values in (outcome.loss, outcome.chosen_reward, outcome.rejected_reward, *slopes.values(), *outcome.statistics.values()):
            assert values.isfinite().all()
        state = after(case.objective, state, outcome)


@each_case
def test_float32_stays_finite_for_a_batch_of_one_extreme_pair(case: Case) -> None:
    extreme, state = case.extreme(), case.objective.initial_state()
    for row in range(0, len(extreme.chosen.logp), 61):
        outcome, slopes = gradients(case.objective, part(extreme, slice(row, row + 1)), state)
        assert all(values.isfinite().all() for values in (outcome.loss, *slopes.values()))
        state = after(case.objective, state, outcome)


@each_case
def test_a_batch_of_one_pair_at_the_reference_is_finite(case: Case) -> None:
    state = case.objective.initial_state()
    for _ in range(3):
        outcome, slopes = gradients(case.objective, case.at_reference(1), state)
        assert outcome.loss.isfinite().all()
        assert all(values.isfinite().all() for values in slopes.values())
        state = after(case.objective, state, outcome)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items() if not case.objective.needs.whole_batch])
def test_losses_and_state_are_the_same_however_the_step_is_split(case: Case) -> None:
    objective, scores, state = case.objective, case.random(12), case.objective.initial_state()
    for _ in range(2):
        whole = objective(scores, state)
        thirds = [objective(part(scores, slice(start, start + 4)), state) for start in (0, 4, 8)]
        assert torch.allclose(whole.loss, torch.cat([third.loss for third in thirds]), rtol=1e-12)
        averaged = {key: float(sum(third.statistics[key] for third in thirds)) / 3 for key in whole.statistics}
        split = objective.next_state(state, averaged)
        state = after(objective, state, whole)
        assert split == pytest.approx(state, rel=1e-12)


def test_the_methods_that_must_see_the_whole_batch_say_so() -> None:
    assert {name for name, method in METHODS.items() if method().needs.whole_batch} == {"kto", "bco", "beta_dpo", "aot", "aot_unpaired"}
    assert METHODS["alpha_dpo"](compat=True).needs.whole_batch  # pyright: ignore[reportCallIssue]


@each_case
def test_calling_it_changes_neither_the_objective_nor_the_state_nor_the_scores(case: Case) -> None:
    state = dict(case.objective.initial_state())
    before = dict(state)
    first, again = (case.objective(case.random(4), state).loss for _ in range(2))
    assert state == before
    assert torch.equal(first, again)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.objective.beta = 1.0  # pyright: ignore[reportAttributeAccessIssue]


@each_case
def test_the_state_is_plain_numbers_so_that_a_checkpoint_can_hold_it(case: Case) -> None:
    state = case.objective.initial_state()
    for _ in range(2):
        assert all(type(value) is float for value in state.values())
        state = after(case.objective, state, case.objective(case.random(4), state))


def test_what_is_held_fixed_gets_no_gradient() -> None:
    scores = random_scores(4)
    assert scores.mismatched is not None
    drift = scores.mismatched.logp.requires_grad_()
    assert torch.autograd.grad(KTO()(scores, {}).loss.sum(), drift, allow_unused=True, retain_graph=True) == (None,)
    collision = scores.chosen.known("log_collision").requires_grad_()
    assert torch.autograd.grad(WPO()(scores, {}).loss.sum(), collision, allow_unused=True) == (None,)
    held = METHODS["tdpo2"]()(scores, {}).loss.sum()
    assert torch.autograd.grad(held, scores.chosen.known("position_kl"), allow_unused=True) == (None,)


@each_case
def test_nothing_is_read_that_was_not_asked_for(case: Case) -> None:
    objective, full = case.objective, with_others(random_scores(6))
    full = full if objective.needs.candidates else dataclasses.replace(full, others=None)
    state = objective.initial_state()
    assert torch.equal(objective(only(full, objective.needs), state).loss, objective(full, state).loss)


@each_case
def test_nothing_is_asked_for_in_vain(case: Case) -> None:
    objective, full = case.objective, with_others(random_scores(6))
    nothing = {"reference": False, "reward": False, "position_kl": False, "prefix": False, "log_collision": False}
    nothing |= {"mismatched": False, "extra_references": 0, "neighbour_step": None}
    for need, without in nothing.items():
        if getattr(objective.needs, need):
            less = only(full, dataclasses.replace(objective.needs, **{need: without}))
            with pytest.raises(ValueError, match=r"needs"):
                objective(less, objective.initial_state())


@each_method
def test_every_searched_hyperparameter_exists_and_the_corners_of_the_ranges_are_usable(method: type[Objective]) -> None:
    assert set(method.search_space) <= set(method().hyperparameters())
    for hyperparameters in corners(method):
        made = make_objective(method.name, hyperparameters)
        for scores in (random_scores(5), at_reference(5), extreme_scores()):
            outcome, slopes = gradients(made, scores, made.initial_state())
            assert outcome.loss.isfinite().all(), hyperparameters
            assert all(values.isfinite().all() for values in slopes.values()), hyperparameters


@each_method
def test_the_card_is_complete(method: type[Objective]) -> None:
    assert METHODS[method.name] is method
    assert "arXiv:" in method.paper
    assert method.status in {"code-checked", "paper text", "derived"}
    assert (method.status == "derived") is (method.name in DERIVED)
    assert "Choose it" in (method.__doc__ or "")
    assert method.formula()
    assert "\n" not in method.formula()
    assert not method.formula().endswith(".")


def corners(method: type[Objective]) -> Iterator[dict[str, Any]]:
    """Every combination of the ends of a method's ranges."""
    ends = [space.options if isinstance(space, Choice) else (space.low, space.high) for space in method.search_space.values()]
    for values in itertools.product(*ends):
        yield dict(zip(method.search_space, values, strict=True))


def only(scores: PairScores, needs: Needs) -> PairScores:
    """The scores with the measurements of `needs` and no others."""
    held = {
        "reference_logp": needs.reference,
        "reward": needs.reward,
        "extra_reference_logp": needs.extra_references > 0,
        "prefix_logp": needs.prefix,
        "reference_prefix_logp": needs.prefix and needs.reference,
        "position_kl": needs.position_kl,
        "log_collision": needs.log_collision,
    }

    def bare(response: ResponseScores | None) -> Any:
        return response and dataclasses.replace(response, **{key: None for key, is_held in held.items() if not is_held})

    return PairScores(
        chosen=bare(scores.chosen),
        rejected=bare(scores.rejected),
        neighbour_step=scores.neighbour_step if needs.neighbour_step is not None else None,
        others=bare(scores.others) if needs.candidates else None,
        mismatched=bare(scores.mismatched) if needs.mismatched else None,
    )

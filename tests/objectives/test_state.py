"""Methods that remember: what their state is after a step, and what the next step does with it."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import softplus

from orchestrator.objectives import METHODS, make_objective, method_named
from orchestrator.objectives.alpha_dpo import AlphaDPO
from orchestrator.objectives.bco import BCO
from orchestrator.objectives.beta_dpo import BetaDPO
from orchestrator.objectives.contract import State
from orchestrator.objectives.epsilon_dpo import EpsilonDPO
from orchestrator.objectives.kto import KTO
from orchestrator.objectives.simpo import SimPO
from orchestrator.policy.scores import PairScores
from tests.objectives.drawn import close
from tests.objectives.scores import after, at_reference, random_scores


def per_token_gap(scores: PairScores) -> torch.Tensor:
    return (scores.chosen.mean_log_ratio - scores.rejected.mean_log_ratio).detach()


def with_margins(margins: torch.Tensor) -> PairScores:
    """Pairs whose log-ratio margins D are these."""
    scores = random_scores(len(margins))
    reference = scores.chosen.logp.detach() - scores.rejected.log_ratio.detach() - margins
    return replace(scores, chosen=replace(scores.chosen, reference_logp=reference))


def kept(objective: BetaDPO, margins: torch.Tensor, state: State) -> torch.Tensor:
    """Which of the pairs with these margins count."""
    return objective(with_margins(margins), state).loss != 0


def test_alpha_dpos_first_step_is_simpos_and_the_next_ones_standardise_by_the_steps_before() -> None:
    objective, state = AlphaDPO(alpha=0.1, beta=2.0, gamma_over_beta=0.3, ema_decay=0.9), {}
    mean = square = 0.0
    for step in range(4):
        scores = random_scores(6, seed=step)
        gap = per_token_gap(scores)
        standardised = (gap - mean) / (square - mean**2) ** 0.5 if step else gap * 0
        separation = scores.chosen.mean_logp - scores.rejected.mean_logp
        outcome = objective(scores, state)
        close(outcome.loss, softplus(-2.0 * (separation - (0.3 + 0.1 * standardised))))
        state = after(objective, state, outcome)
        first = not step
        mean = float(gap.mean()) if first else 0.9 * mean + 0.1 * float(gap.mean())
        square = float((gap**2).mean()) if first else 0.9 * square + 0.1 * float((gap**2).mean())
        assert state == pytest.approx({"gap": mean, "gap_squared": square})


def test_alpha_dpo_as_its_authors_wrote_it_updates_its_averages_from_zero_before_their_use() -> None:
    objective = AlphaDPO(alpha=0.1, beta=2.0, gamma_over_beta=0.3, compat=True)
    state, mean, deviation = objective.initial_state(), 0.0, 0.0
    for step in range(3):
        scores = random_scores(6, seed=step)
        gap = per_token_gap(scores)
        mean, deviation = 0.9 * mean + 0.1 * float(gap.mean()), 0.9 * deviation + 0.1 * float(gap.std(correction=1))
        outcome = objective(scores, state)
        separation = scores.chosen.mean_logp - scores.rejected.mean_logp
        close(outcome.loss, softplus(-2.0 * (separation - (0.3 + 0.1 * (gap - mean) / deviation))))
        state = after(objective, state, outcome)
        assert state == pytest.approx({"ema_mean": mean, "ema_std": deviation})


def test_the_margin_of_alpha_dpo_is_larger_for_pairs_that_are_separated_more_than_usual() -> None:
    objective, state = AlphaDPO(alpha=0.1), {"gap": 0.0, "gap_squared": 1.0}
    scores = random_scores(32)
    more = per_token_gap(scores) > 0
    adapted, plain = objective(scores, state).loss, SimPO(beta=2.5, gamma_over_beta=0.15)(scores, {}).loss
    assert torch.equal(adapted > plain, more)


@pytest.mark.parametrize("compat", [False, True])
def test_beta_dpo_compares_the_batch_with_the_steps_before(compat: bool) -> None:
    objective = BetaDPO(beta=0.1, alpha=0.6, filter_ratio=0.0, compat=compat)
    state, usual = objective.initial_state(), 0.0
    for step in range(3):
        scores = random_scores(6, seed=step)
        gap = scores.log_ratio_margin.detach()
        mean, before = float(gap.mean()), usual
        first = step == 0 and not compat
        usual = mean if first else 0.9 * usual + 0.1 * mean
        beta = 0.1 * (1 + 0.6 * (mean - (usual if compat or first else before)))
        outcome = objective(scores, state)
        close(outcome.loss, softplus(-max(beta, 1e-3) * gap))
        state = after(objective, state, outcome)
        assert state["gap_mean"] == pytest.approx(usual)
        assert state["draws"] == step + 1


def test_beta_dpos_usual_deviation_is_the_whole_batchs_and_unbiased_only_as_its_authors_wrote_it() -> None:
    scores = random_scores(6)
    gap = scores.log_ratio_margin.detach()
    for objective, expected in ((BetaDPO(), gap.std(correction=0)), (BetaDPO(compat=True), 0.1 * gap.std(correction=1))):
        state = objective.initial_state()
        assert after(objective, state, objective(scores, state))["gap_std"] == pytest.approx(float(expected))


def test_beta_dpos_beta_never_reaches_zero() -> None:
    scores = with_margins(torch.full((4,), -50.0, dtype=torch.float64))
    outcome = BetaDPO(beta=0.1, alpha=0.6, filter_ratio=0.0)(scores, {"gap_mean": 50.0, "gap_std": 1.0})
    close(outcome.loss, softplus(torch.full((4,), 50.0, dtype=torch.float64) * 1e-3))


@pytest.mark.parametrize(
    ("pairs", "filter_ratio", "expected"),
    [(10, 0.2, 8), (9, 0.2, 7), (7, 0.5, 3), (2, 0.5, 1), (1, 0.5, 1), (64, 0.3, 44), (3, 0.2, 2), (10, 0.8, 2), (5, 0.0, 5), (1, 0.0, 1)],
)
def test_beta_dpo_keeps_the_whole_number_of_pairs_below_its_share_and_at_least_one(pairs: int, filter_ratio: float, expected: int) -> None:
    objective = BetaDPO(filter_ratio=filter_ratio)
    margins = torch.linspace(-2, 2, pairs, dtype=torch.float64)
    for draws in range(5):
        assert int(kept(objective, margins, {"draws": float(draws), "gap_mean": 0.0, "gap_std": 1.0}).sum()) == expected


def test_beta_dpo_draws_the_same_pairs_again_in_the_same_state_and_others_in_the_next() -> None:
    margins = torch.linspace(-2, 2, 32, dtype=torch.float64)
    state = {"draws": 3.0, "gap_mean": 0.0, "gap_std": 1.0}
    objective = BetaDPO(filter_ratio=0.5)
    assert torch.equal(kept(objective, margins, state), kept(objective, margins, state))
    assert not torch.equal(kept(objective, margins, state), kept(objective, margins, state | {"draws": 4.0}))


def test_beta_dpo_leaves_out_other_pairs_at_every_step_when_all_margins_are_equal() -> None:
    margins = torch.zeros(8, dtype=torch.float64)
    counts = torch.stack([kept(BetaDPO(filter_ratio=0.5), margins, {"draws": float(draws)}) for draws in range(20)]).sum(0)
    assert ((counts > 0) & (counts < 20)).all()


def test_beta_dpo_averages_over_the_pairs_it_keeps() -> None:
    margins = torch.linspace(-2, 2, 10, dtype=torch.float64)
    state = {"draws": 0.0, "gap_mean": 0.0, "gap_std": 1.0}
    objective = BetaDPO(beta=0.1, alpha=0.6, filter_ratio=0.2)
    left = margins[kept(objective, margins, state)]
    beta = 0.1 * (1 + 0.6 * float(left.mean()))
    close(objective(with_margins(margins), state).loss.mean(), softplus(-beta * left).mean())


def test_beta_dpo_draws_a_pair_with_the_weight_of_its_margin_under_a_normal_law() -> None:
    margins = torch.tensor([3.0, 4.0, 5.0, 7.0], dtype=torch.float64)
    objective, draws = BetaDPO(filter_ratio=0.75), 1500
    counts = sum(kept(objective, margins, {"draws": float(draw), "gap_mean": 3.0, "gap_std": 2.0}).double() for draw in range(draws))
    weights = torch.exp(-0.5 * ((margins - 3.0) / 2.0) ** 2)
    expected = weights / weights.sum()
    deviation = (expected * (1 - expected) / draws).sqrt()
    assert isinstance(counts, torch.Tensor)
    assert ((counts / draws - expected).abs() < 4 * deviation).all()


def test_bcos_zero_is_the_mean_over_all_responses_of_all_steps_however_unequal() -> None:
    objective = BCO(beta=0.5)
    state, seen = objective.initial_state(), torch.zeros(0, dtype=torch.float64)
    for step, pairs in enumerate((3, 8)):
        scores = random_scores(pairs, seed=step)
        chosen, rejected = (0.5 * side.log_ratio.detach() for side in (scores.chosen, scores.rejected))
        seen = torch.cat([seen, chosen, rejected])
        outcome = objective(scores, state)
        close(outcome.loss, softplus(seen.mean() - chosen) + softplus(rejected - seen.mean()))
        state = after(objective, state, outcome)
        assert state == pytest.approx({"reward_mean": float(seen.mean()), "count": 2.0 * (3 if step == 0 else 11)})
    assert BCO(shift=False).initial_state() == {}


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_ktos_state_is_the_drift_of_the_last_step_which_is_never_below_zero(shift: float) -> None:
    scores = random_scores(5)
    assert scores.mismatched is not None
    drifted = replace(scores, mismatched=replace(scores.mismatched, reference_logp=scores.mismatched.logp - shift))
    objective = KTO(beta=0.1, desirable_weight=1.2, undesirable_weight=0.8)
    outcome = objective(drifted, {"kl": 7.0})
    drift = max(0.0, shift)
    assert after(objective, {"kl": 7.0}, outcome) == pytest.approx({"kl": drift})
    chosen, rejected = (0.1 * (side.log_ratio.detach() - drift) for side in (scores.chosen, scores.rejected))
    close(outcome.loss.detach(), 1.2 * (1 - chosen.sigmoid()) + 0.8 * (1 - (-rejected).sigmoid()))


@pytest.mark.parametrize("name", ["alpha_dpo", "beta_dpo"])
def test_a_first_batch_at_the_reference_has_no_spread_and_leaves_no_average_behind(name: str) -> None:
    objective = METHODS[name]()
    state = after(objective, objective.initial_state(), objective(at_reference(8), objective.initial_state()))
    assert {key for key in state if key != "draws"} == set()
    near = random_scores(8)
    assert {key for key in after(objective, state, objective(near, state)) if key != "draws"} != set()


def test_epsilon_dpos_beta_follows_the_mean_of_the_pairs_steps() -> None:
    objective = EpsilonDPO(beta=0.2, epsilon=0.1)
    scores = replace(random_scores(4), neighbour_step=torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64))
    outcome = objective(scores, objective.initial_state())
    betas = 0.2 / (1 + 0.1 * torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64))
    close(outcome.loss, softplus(-betas * scores.log_ratio_margin))
    assert after(objective, objective.initial_state(), outcome) == pytest.approx({"beta": 0.2 / (1 + 0.1 * 0.5)})


def test_kto_begins_without_a_drift_and_remembers_the_one_that_the_step_measured() -> None:
    objective, scores = KTO(), random_scores(6, spread=3.0)
    assert scores.mismatched is not None
    drift = max(0.0, float(scores.mismatched.log_ratio.mean()))
    assert objective.initial_state() == {"kl": 0.0}
    assert after(objective, objective.initial_state(), objective(scores, {})) == pytest.approx({"kl": drift})


@pytest.mark.parametrize("name", ["alpha_dpo", "beta_dpo", "bco", "kto", "simpo"])
def test_under_another_reference_the_statistics_begin_anew(name: str) -> None:
    objective = METHODS[name]()
    scores = random_scores(8)
    state = after(objective, objective.initial_state(), objective(scores, objective.initial_state()))
    assert {key: value for key, value in objective.compared_anew(state).items() if key != "draws"} == {
        key: value for key, value in objective.initial_state().items() if key != "draws"
    }
    assert objective.compared_anew(state).get("draws") == state.get("draws")


def test_under_another_reference_epsilon_dpo_keeps_the_beta_that_it_has_found_alone_and_in_a_sum() -> None:
    assert EpsilonDPO().compared_anew({"beta": 0.4}) == {"beta": 0.4}
    together = method_named("epsilon_dpo+bco")()
    found = {"epsilon_dpo.beta": 0.4, "bco.reward_mean": 2.0, "bco.count": 8.0}
    assert together.compared_anew(found) == {"epsilon_dpo.beta": 0.4, "bco.reward_mean": 0.0, "bco.count": 0.0}


def test_a_method_of_ones_own_without_a_reference_keeps_its_state_under_another() -> None:
    assert SimPO().compared_anew({"mine": 1.0}) == {"mine": 1.0}


def test_a_run_that_is_taken_up_with_another_beta_has_its_state_in_units_of_that() -> None:
    assert EpsilonDPO(beta=0.3).taken_up({"beta": 0.02}, EpsilonDPO(beta=0.01).hyperparameters()) == pytest.approx({"beta": 0.6})
    seen = {"reward_mean": 0.5, "count": 8.0}
    assert BCO(beta=0.1).taken_up(seen, BCO(beta=0.05).hyperparameters()) == pytest.approx({"reward_mean": 1.0, "count": 8.0})
    assert KTO(beta=0.3).taken_up({"kl": 0.5}, KTO(beta=0.1).hyperparameters()) == {"kl": 0.5}


def test_a_sum_that_is_taken_up_has_each_parts_state_in_units_of_its_own_beta() -> None:
    before, own = (make_objective("epsilon_dpo+bco", {"epsilon_dpo_beta": each, "bco_beta": 2 * each}) for each in (0.01, 0.03))
    state = {"epsilon_dpo.beta": 0.02, "bco.reward_mean": 0.5, "bco.count": 8.0}
    expected = {"epsilon_dpo.beta": 0.06, "bco.reward_mean": 1.5, "bco.count": 8.0}
    assert own.taken_up(state, before.hyperparameters()) == pytest.approx(expected)


@pytest.mark.parametrize(("before", "after_it"), [(True, False), (False, True), (False, False)])
def test_without_a_shift_bco_takes_up_no_mean(before: bool, after_it: bool) -> None:
    state = {"reward_mean": 0.5, "count": 8.0} if before else {}
    own = BCO(shift=after_it)
    assert own.taken_up(state, BCO(shift=before, beta=0.2).hyperparameters()) == own.initial_state()

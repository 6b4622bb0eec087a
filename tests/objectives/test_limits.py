"""Methods that become one another at a limit, whatever the scores are."""

import math
from dataclasses import replace

import torch
from torch.nn.functional import logsigmoid, softplus

from orchestrator.objectives.alpha_dpo import AlphaDPO
from orchestrator.objectives.alphapo import AlphaPO
from orchestrator.objectives.aot import AOT, AOTUnpaired
from orchestrator.objectives.bco import BCO
from orchestrator.objectives.beta_dpo import BetaDPO
from orchestrator.objectives.chi_po import ChiPO
from orchestrator.objectives.cpo import CPO
from orchestrator.objectives.dpo import CDPO, DPO, RobustDPO
from orchestrator.objectives.epsilon_dpo import EpsilonDPO
from orchestrator.objectives.exo import EXOPref
from orchestrator.objectives.f_dpo import FDPO
from orchestrator.objectives.hpo import HPO
from orchestrator.objectives.ipo import IPO
from orchestrator.objectives.kto import KTO
from orchestrator.objectives.length_dpo import LDDPO, LNDPO, RDPO
from orchestrator.objectives.minor_dpo import MinorDPO
from orchestrator.objectives.mrpo import MRPO
from orchestrator.objectives.rpo import RPOBackward, RPOForward, RPOSquared
from orchestrator.objectives.sft import DPOSFT
from orchestrator.objectives.simpo import SimPO
from orchestrator.objectives.tdpo import TDPO1, TDPO2
from orchestrator.objectives.unpaired import APOZero
from orchestrator.objectives.wpo import WPO
from orchestrator.policy.scores import PairScores, ResponseScores
from tests.objectives.drawn import ONE_PAIR, PAIRS, assert_same, close, for_all, share
from tests.objectives.scores import altered, gradients

BETA = share(0.01, 0.5)
ERROR = share(0.01, 0.45)


@for_all(PAIRS, BETA, share(0.0, 1.0))
def test_alphapo_with_alpha_near_zero_is_simpo(scores: PairScores, beta: float, gamma_over_beta: float) -> None:
    simpo = SimPO(beta=beta, gamma_over_beta=gamma_over_beta)
    assert_same(AlphaPO(alpha=0.0, beta=beta, gamma_over_beta=gamma_over_beta), simpo, scores)
    for alpha in (1e-11, -1e-11):
        assert_same(AlphaPO(alpha=alpha, beta=beta, gamma_over_beta=gamma_over_beta), simpo, scores, tolerance=1e-8)


@for_all(PAIRS, BETA, share(0.0, 1.0), share(-2.0, 2.0))
def test_alpha_dpo_without_alpha_is_simpo_in_every_state(scores: PairScores, beta: float, gamma_over_beta: float, gap: float) -> None:
    simpo = SimPO(beta=beta, gamma_over_beta=gamma_over_beta)
    objective = AlphaDPO(alpha=0.0, beta=beta, gamma_over_beta=gamma_over_beta)
    assert_same(objective, simpo, scores, objective.initial_state())
    assert_same(objective, simpo, scores, {"gap": gap, "gap_squared": gap**2 + 0.5})


@for_all(PAIRS, BETA, share(0.001, 0.1))
def test_epsilon_dpo_with_no_steps_is_dpo_at_the_running_beta(scores: PairScores, beta: float, epsilon: float) -> None:
    resting = replace(scores, neighbour_step=torch.zeros_like(scores.chosen.logp))
    assert_same(EpsilonDPO(beta=0.3, epsilon=epsilon), DPO(beta=beta), resting, {"beta": beta})


@for_all(PAIRS, BETA)
def test_epsilon_dpo_loosens_beta_after_a_step_up_and_tightens_it_after_a_step_down(scores: PairScores, beta: float) -> None:
    for step in (1.0, -1.0):
        moved = replace(scores, neighbour_step=torch.full_like(scores.chosen.logp, step))
        assert_same(EpsilonDPO(epsilon=0.02), DPO(beta=beta / (1 + 0.02 * step)), moved, {"beta": beta})


@for_all(PAIRS, BETA)
def test_minor_dpo_is_dpo_while_the_rejected_is_likelier_than_under_the_reference(scores: PairScores, beta: float) -> None:
    likelier = scores.rejected.log_ratio >= 0
    (minor, minor_slopes), (dpo, dpo_slopes) = (gradients(method(beta=beta), scores, {}) for method in (MinorDPO, DPO))
    assert torch.equal(minor.loss[likelier], dpo.loss[likelier])
    assert torch.equal(minor_slopes["rejected.logp"][likelier], dpo_slopes["rejected.logp"][likelier])
    assert (minor.loss[~likelier] >= dpo.loss[~likelier]).all()
    assert (minor_slopes["rejected.logp"][~likelier] == 0).all()


@for_all(PAIRS, BETA)
def test_rpo_backward_with_certain_rewards_is_dpo(scores: PairScores, beta: float) -> None:
    assert_same(RPOBackward(beta=beta, eta=1e6), DPO(beta=beta), with_gap(scores, 0.1))
    assert_same(RPOBackward(beta=beta, eta=1e6), DPO(beta=beta), with_gap(scores, 3.0))


@for_all(PAIRS, BETA, ERROR)
def test_rpo_backward_with_a_constant_soft_label_is_cdpo_less_the_labels_entropy(scores: PairScores, beta: float, error: float) -> None:
    labelled = with_gap(scores, math.log((1 - error) / error) / 2)
    entropy = -(1 - error) * math.log(1 - error) - error * math.log(error)
    (rpo, slopes), (cdpo, wanted) = (
        gradients(objective, labelled, {}) for objective in (RPOBackward(beta=beta, eta=2.0), CDPO(beta=beta, label_smoothing=error))
    )
    close(rpo.loss + entropy, cdpo.loss)
    close(slopes["chosen.logp"], wanted["chosen.logp"])


@for_all(PAIRS, BETA, ERROR)
def test_rpo_forward_with_a_constant_soft_label_is_exo_on_preferences(scores: PairScores, beta: float, error: float) -> None:
    labelled = with_gap(scores, math.log((1 - error) / error) / 2)
    assert_same(RPOForward(beta=beta, eta=2.0), EXOPref(beta=beta, label_smoothing=error), labelled)


@for_all(PAIRS, BETA)
def test_rpo_squared_with_a_constant_gap_is_summed_ipo(scores: PairScores, beta: float) -> None:
    assert_same(RPOSquared(beta=beta, eta=0.25), IPO(beta=beta, length_normalized=False), with_gap(scores, 2.0), scale=beta**2)


@for_all(PAIRS, BETA, share(0.1, 3.0))
def test_rpo_with_another_policys_rewards_is_rpo_with_these_as_explicit_rewards(scores: PairScores, beta: float, scale: float) -> None:
    chosen, rejected = (
        replace(side, reward=scale * (side.known("extra_reference_logp")[..., 0] - side.known_reference_logp))
        for side in (scores.chosen, scores.rejected)
    )
    given_rewards = replace(scores, chosen=chosen, rejected=rejected)
    for method in (RPOBackward, RPOForward, RPOSquared):
        found, wanted = method(beta=beta, eta=0.7, reward_beta=scale), method(beta=beta, eta=0.7)
        close(found(scores, {}).loss, wanted(given_rewards, {}).loss)


@for_all(PAIRS, BETA)
def test_without_label_noise_cdpo_and_robust_dpo_are_dpo(scores: PairScores, beta: float) -> None:
    for method in (CDPO, RobustDPO):
        assert_same(method(beta=beta, label_smoothing=0.0), DPO(beta=beta), scores)


@for_all(PAIRS, BETA, ERROR)
def test_robust_dpo_is_unbiased_over_flipped_labels(scores: PairScores, beta: float, error: float) -> None:
    robust, flipped = RobustDPO(beta=beta, label_smoothing=error), replace(scores, chosen=scores.rejected, rejected=scores.chosen)
    expected = (1 - error) * robust(scores, {}).loss + error * robust(flipped, {}).loss
    close(expected, DPO(beta=beta)(scores, {}).loss, 1e-7)


@for_all(PAIRS, BETA)
def test_f_dpo_moves_from_the_forward_kl_to_dpo_with_alpha(scores: PairScores, beta: float) -> None:
    forward, dpo = FDPO(beta=beta, divergence="forward_kl"), DPO(beta=beta)
    assert_same(FDPO(beta=beta, divergence="alpha", alpha=0.0), forward, scores)
    assert_same(FDPO(beta=beta, divergence="alpha", alpha=1.0), dpo, scores)
    assert_same(FDPO(beta=beta, divergence="alpha", alpha=1 - 1e-10), dpo, scores, tolerance=1e-5)


@for_all(PAIRS, BETA)
def test_length_normalised_dpo_of_equally_long_responses_is_dpo(scores: PairScores, beta: float) -> None:
    length = 7
    equally_long = altered(scores, length=torch.full_like(scores.chosen.length, length))
    assert_same(LNDPO(beta=beta * length), DPO(beta=beta), equally_long)


@for_all(PAIRS, BETA)
def test_length_desensitised_dpo_that_counts_the_tail_whole_is_dpo(scores: PairScores, beta: float) -> None:
    assert_same(LDDPO(beta=beta, ld_alpha=1.0), DPO(beta=beta), scores)


@for_all(PAIRS, BETA)
def test_length_desensitised_dpo_that_counts_no_tail_is_dpo_of_the_prefixes(scores: PairScores, beta: float) -> None:
    cut = [replace(side, logp=side.known("prefix_logp"), reference_logp=side.reference_prefix_logp) for side in sides(scores)]
    wanted = DPO(beta=beta)(replace(scores, chosen=cut[0], rejected=cut[1]), {}).loss
    close(LDDPO(beta=beta, ld_alpha=0.0)(scores, {}).loss, wanted)


@for_all(PAIRS, BETA, share(0.01, 1.0))
def test_length_regularised_dpo_teaches_less_the_longer_the_chosen_is(scores: PairScores, beta: float, alpha: float) -> None:
    assert_same(RDPO(beta=beta, alpha=0.0), DPO(beta=beta), scores)
    longer = scores.chosen.length > scores.rejected.length
    regularised, plain = (gradients(objective, scores, {})[1]["chosen.logp"].abs() for objective in (RDPO(beta, alpha), DPO(beta)))
    assert (regularised[longer] <= plain[longer]).all()
    assert (regularised[~longer] >= plain[~longer]).all()


@for_all(PAIRS, BETA)
def test_token_level_dpo_of_a_policy_that_has_not_drifted_is_dpo(scores: PairScores, beta: float) -> None:
    still = altered(scores, position_kl=torch.zeros_like(scores.chosen.logp).requires_grad_())
    for objective in (TDPO1(beta=beta), TDPO2(beta=beta), TDPO2(beta=beta, alpha=2.0)):
        assert_same(objective, DPO(beta=beta), still)


@for_all(PAIRS, BETA)
def test_mrpo_with_the_main_reference_as_the_further_one_is_dpo(scores: PairScores, beta: float) -> None:
    chosen, rejected = (replace(side, extra_reference_logp=side.known_reference_logp[:, None].repeat(1, 2)) for side in sides(scores))
    for objective in (MRPO(beta=beta), MRPO(beta=beta, alpha=0.3), MRPO(beta=beta, eta=0.5, alpha=0.9)):
        assert_same(objective, DPO(beta=beta), replace(scores, chosen=chosen, rejected=rejected))


@for_all(PAIRS, BETA)
def test_wpo_of_responses_likelier_than_the_policys_own_is_dpo(scores: PairScores, beta: float) -> None:
    chosen, rejected = (replace(side, log_collision=2 * side.logp.detach()) for side in sides(scores))
    assert_same(WPO(beta=beta), DPO(beta=beta), replace(scores, chosen=chosen, rejected=rejected))


@for_all(PAIRS, BETA)
def test_beta_dpo_with_a_fixed_beta_and_no_filter_is_dpo(scores: PairScores, beta: float) -> None:
    objective = BetaDPO(beta=beta, alpha=0.0, filter_ratio=0.0)
    assert_same(objective, DPO(beta=beta), scores, objective.initial_state())
    assert_same(objective, DPO(beta=beta), scores, {"draws": 3.0, "gap_mean": 2.0, "gap_std": 1.5})


@for_all(ONE_PAIR, BETA, ERROR)
def test_aot_of_a_single_pair_is_dpo(scores: PairScores, beta: float, error: float) -> None:
    for method in (AOT, AOTUnpaired):
        assert_same(method(beta=beta), DPO(beta=beta), scores)
        assert_same(method(beta=beta, label_smoothing=error), CDPO(beta=beta, label_smoothing=error), scores)


@for_all(PAIRS, BETA)
def test_dpo_with_hardly_any_likelihood_is_dpo(scores: PairScores, beta: float) -> None:
    assert_same(DPOSFT(beta=beta, eta=1e-12), DPO(beta=beta), scores, tolerance=1e-8)


@for_all(PAIRS, BETA, share(0.1, 5.0))
def test_hpo_that_does_not_weigh_its_likelihood_is_dpo(scores: PairScores, beta: float, alpha: float) -> None:
    assert_same(HPO(beta=beta, gamma=0.0, alpha=alpha), DPO(beta=beta), scores)


@for_all(PAIRS, BETA)
def test_cpo_without_likelihood_is_dpo_against_a_uniform_reference(scores: PairScores, beta: float) -> None:
    uniform = altered(scores, reference_logp=torch.zeros_like(scores.chosen.logp))
    assert_same(CPO(beta=beta, sft_weight=0.0), DPO(beta=beta), uniform)


@for_all(PAIRS, BETA)
def test_bco_without_its_shift_classifies_by_the_sign_of_the_reward(scores: PairScores, beta: float) -> None:
    chosen, rejected = (beta * side.log_ratio for side in sides(scores))
    found = BCO(beta=beta, shift=False)
    close(found(scores, {}).loss, softplus(-chosen) + softplus(rejected))
    assert_same(BCO(beta=beta), found, scores, {"reward_mean": 0.0, "count": 1e18})


@for_all(PAIRS, BETA)
def test_kto_of_a_policy_that_has_not_drifted_is_apo_zero(scores: PairScores, beta: float) -> None:
    assert scores.mismatched is not None
    still = replace(scores, mismatched=replace(scores.mismatched, reference_logp=scores.mismatched.logp + 1.0))
    assert_same(KTO(beta=beta), APOZero(beta=beta), still)


@for_all(PAIRS, BETA)
def test_chi_po_follows_its_formula_and_is_flat_outside_its_clip(scores: PairScores, beta: float) -> None:
    chosen, rejected = (side.log_ratio.clamp(max=20).exp() + side.log_ratio for side in sides(scores))
    margin = beta * (chosen - rejected)
    close(ChiPO(beta=beta, r_max=None)(scores, {}).loss, -logsigmoid(margin), 1e-7)
    clipped, slopes = gradients(ChiPO(beta=beta, r_max=1.5), scores, {})
    close(clipped.loss, -logsigmoid(margin.clamp(-3, 3)), 1e-7)
    assert (slopes["chosen.logp"][margin.abs() > 3] == 0).all()


def with_gap(scores: PairScores, gap: float) -> PairScores:
    """The pairs with explicit rewards that are `gap` apart."""
    high, low = torch.full_like(scores.chosen.logp, 1.0 + gap).detach(), torch.ones_like(scores.chosen.logp).detach()
    return replace(scores, chosen=replace(scores.chosen, reward=high), rejected=replace(scores.rejected, reward=low))


def sides(scores: PairScores) -> tuple[ResponseScores, ResponseScores]:
    """The chosen and the rejected responses."""
    return scores.chosen, scores.rejected

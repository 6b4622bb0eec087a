"""Losses over all scored responses to a prompt."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import strategies as st

from orchestrator.objectives import Objective
from orchestrator.objectives.exo import EXOReward
from orchestrator.objectives.rloo import RLOO
from orchestrator.objectives.rpo import RPOBackward, RPOForward, RPOSquared
from orchestrator.policy.scores import PairScores, ResponseScores, map_tensors
from tests.objectives.drawn import PAIRS, assert_same, close, for_all, prompts, share
from tests.objectives.scores import at_reference, gradients, leaves_of, random_scores, with_others

OBJECTIVES = (RPOBackward(eta=0.7), RPOForward(eta=0.7), RPOSquared(eta=0.7), EXOReward(reward_beta=0.8), RLOO())
BETA = share(0.01, 0.5)
SEVERAL = st.one_of(prompts(3), prompts(4), prompts(5))


@for_all(PAIRS)
def test_two_responses_give_the_pairs_loss(scores: PairScores) -> None:
    again = PairScores.of_candidates(map_tensors(lambda *values: torch.stack(values, 1), scores.chosen, scores.rejected))
    for objective in OBJECTIVES:
        close(objective(again, {}).loss, objective(scores, {}).loss)


@for_all(PAIRS)
def test_an_absent_third_response_changes_neither_losses_nor_gradients(scores: PairScores) -> None:
    absent = map_tensors(lambda values: torch.zeros_like(values)[:, None], scores.rejected)
    with_absent = replace(scores, others=replace(absent, logp=absent.logp.requires_grad_()))
    for objective in OBJECTIVES:
        (found, slopes), (wanted, expected) = gradients(objective, with_absent, {}), gradients(objective, scores, {})
        close(found.loss, wanted.loss)
        for name, slope in slopes.items():
            close(slope, expected.get(name, torch.zeros_like(slope)))


@for_all(SEVERAL)
def test_the_order_of_the_further_responses_does_not_matter(scores: PairScores) -> None:
    assert scores.others is not None
    turned = replace(scores, others=map_tensors(lambda values: values.flip(1), scores.others))
    for objective in OBJECTIVES:
        close(objective(turned, {}).loss, objective(scores, {}).loss)


@for_all(SEVERAL, BETA, share(0.1, 3.0))
def test_rpo_over_several_responses_is_the_divergence_of_their_softmaxes(scores: PairScores, beta: float, eta: float) -> None:
    responses = scores.candidates
    explicit, implicit = (eta * responses.known_reward).softmax(-1), (beta * responses.log_ratio).softmax(-1)
    close(RPOBackward(beta=beta, eta=eta)(scores, {}).loss, divergence(explicit, implicit))
    close(RPOForward(beta=beta, eta=eta)(scores, {}).loss, divergence(implicit, explicit))


@for_all(st.one_of(PAIRS, SEVERAL), BETA, share(0.1, 3.0))
def test_exo_on_rewards_is_rpo_forward_with_the_inverse_reward_scale(scores: PairScores, beta: float, reward_beta: float) -> None:
    assert_same(EXOReward(beta=beta, reward_beta=reward_beta), RPOForward(beta=beta, eta=1 / reward_beta), scores)


@for_all(SEVERAL, BETA, share(0.1, 3.0))
def test_rpo_squared_over_several_responses_is_the_mean_over_ordered_pairs(scores: PairScores, beta: float, eta: float) -> None:
    found = RPOSquared(beta=beta, eta=eta)(scores, {}).loss
    close(found, torch.stack([mean_square_over_pairs(row, beta, eta) for row in present_rows(scores)]))


def test_rpo_squared_and_rloo_count_only_the_responses_that_there_are() -> None:
    scores = with_others(random_scores(12))
    assert scores.others is not None
    assert set((scores.others.length > 0).sum(-1).tolist()) == {0, 1, 2}
    found = RPOSquared(beta=0.1, eta=0.7)(scores, {}).loss
    close(found, torch.stack([mean_square_over_pairs(row, 0.1, 0.7) for row in present_rows(scores)]))
    close(RLOO(epsilon=0.2)(scores, {}).loss, torch.stack([clipped_policy_gradient(row, 0.2) for row in present_rows(scores)]))


def test_rloo_at_the_reference_pushes_each_response_by_its_advantage_over_the_mean_of_the_others() -> None:
    scores = with_others(at_reference(12))
    slopes = gradients(RLOO(), scores, {})[1]
    assert scores.others is not None
    found = torch.cat([slopes["chosen.logp"][:, None], slopes["rejected.logp"][:, None], slopes["others.logp"]], 1)
    for row, response in enumerate(present_rows(scores)):
        rewards = response.known_reward.tolist()
        expected = [-(own - (sum(rewards) - own) / (len(rewards) - 1)) / len(rewards) for own in rewards]
        assert found[row][scores.is_present[row]].tolist() == pytest.approx(expected, rel=1e-12)
        assert (found[row][~scores.is_present[row]] == 0).all()


@for_all(SEVERAL, share(0.1, 0.4))
def test_rloo_follows_its_formula(scores: PairScores, epsilon: float) -> None:
    found = RLOO(epsilon=epsilon)(scores, {}).loss
    close(found, torch.stack([clipped_policy_gradient(row, epsilon) for row in present_rows(scores)]))


@for_all(SEVERAL, share(0.01, 0.5))
def test_rloo_takes_the_divergence_from_the_first_rounds_model_off_the_rewards(scores: PairScores, beta: float) -> None:
    responses = scores.candidates
    drift = responses.known_reference_logp - responses.known("extra_reference_logp")[..., 0]
    adjusted = PairScores.of_candidates(replace(responses, reward=responses.known_reward - beta * drift))
    close(RLOO(beta=beta)(scores, {}).loss, RLOO()(adjusted, {}).loss)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
def test_every_response_that_there_is_gets_a_gradient_and_no_absent_one(objective: Objective) -> None:
    scores = with_others(random_scores(12, spread=0.01))
    assert scores.others is not None
    assert "others.logp" in leaves_of(scores)
    slopes = gradients(objective, scores, {})[1]["others.logp"]
    assert ((slopes != 0) == (scores.others.length > 0)).all()


def divergence(target: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
    """KL(target || prediction) of probabilities, (B, K) to (B,)."""
    return (target * (target.log() - prediction.log())).sum(-1)


def present_rows(scores: PairScores) -> list[ResponseScores]:
    """For each prompt the responses that there are, (k,)."""
    responses = scores.candidates
    rows = range(len(responses.logp))
    return [map_tensors(lambda values, row=row: values[row][scores.is_present[row]], responses) for row in rows]


def mean_square_over_pairs(responses: ResponseScores, beta: float, eta: float) -> torch.Tensor:
    """The mean of (beta D - eta dr)^2 over all ordered pairs of one prompt's responses."""
    error = beta * responses.log_ratio - eta * responses.known_reward
    return torch.stack([(one - other) ** 2 for one, other in itertools.permutations(error, 2)]).mean()


def clipped_policy_gradient(responses: ResponseScores, epsilon: float) -> torch.Tensor:
    """RLOO's loss of one prompt, response by response."""
    rewards, ratios = responses.known_reward, responses.log_ratio.exp()
    gains = []
    for own, ratio in enumerate(ratios):
        advantage = rewards[own] - torch.cat([rewards[:own], rewards[own + 1 :]]).mean()
        gains.append(torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon) * advantage))
    return -torch.stack(gains).mean()

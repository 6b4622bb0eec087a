"""Methods that become one another at a limit."""

import pytest
import torch

from orchestrator.objectives.alpha_dpo import AlphaDPO
from orchestrator.objectives.alphapo import AlphaPO
from orchestrator.objectives.dpo import DPO
from orchestrator.objectives.epsilon_dpo import EpsilonDPO
from orchestrator.objectives.ipo import IPO
from orchestrator.objectives.minor_dpo import MinorDPO
from orchestrator.objectives.rpo import RPOBackward, RPOSquared
from orchestrator.objectives.simpo import SimPO
from tests.objectives.scores import at_reference, random_scores


def test_alphapo_with_alpha_near_zero_is_simpo() -> None:
    scores = random_scores(16)
    simpo = SimPO(beta=2.0, gamma_over_beta=0.3)(scores, {}).loss
    for alpha, tolerance in ((0.0, 1e-14), (1e-7, 1e-6)):
        assert torch.allclose(AlphaPO(alpha=alpha, beta=2.0, gamma_over_beta=0.3)(scores, {}).loss, simpo, rtol=tolerance)


def test_alpha_dpo_without_alpha_is_simpo() -> None:
    scores = random_scores(16)
    objective = AlphaDPO(alpha=0.0, beta=2.0, gamma_over_beta=0.3)
    state = objective.next_state(objective.initial_state(), {"gap": 0.4, "gap_squared": 1.0})
    assert torch.allclose(objective(scores, state).loss, SimPO(beta=2.0, gamma_over_beta=0.3)(scores, {}).loss, rtol=1e-14)


def test_alpha_dpo_standardises_by_the_steps_before() -> None:
    objective = AlphaDPO(ema_decay=0.9)
    state = objective.next_state(objective.initial_state(), {"gap": 0.5, "gap_squared": 0.25 + 4.0})
    assert state["gap"] / state["weight"] == pytest.approx(0.5)
    loose = AlphaDPO(alpha=0.1, beta=1.0, gamma_over_beta=0.0)
    scores = random_scores(4)
    separation = scores.chosen.mean_logp - scores.rejected.mean_logp
    reference = scores.chosen.known_reference_logp / scores.chosen.length - scores.rejected.known_reference_logp / scores.rejected.length
    standardised = (separation - reference - 0.5) / 2.0
    expected = torch.nn.functional.softplus(-(separation - 0.1 * standardised))
    assert torch.allclose(loose(scores, state).loss, expected, rtol=1e-12)


def test_epsilon_dpo_with_no_steps_is_dpo() -> None:
    scores = at_reference(8)
    assert torch.equal(EpsilonDPO(beta=0.1)(scores, {"beta": 0.1}).loss, DPO(beta=0.1)(scores, {}).loss)


def test_minor_dpo_is_dpo_while_the_rejected_is_likelier_than_under_the_reference() -> None:
    scores = random_scores(64)
    likelier = scores.rejected.log_ratio >= 0
    assert likelier.any()
    assert (~likelier).any()
    minor, dpo = MinorDPO(beta=0.2)(scores, {}).loss, DPO(beta=0.2)(scores, {}).loss
    assert torch.equal(minor[likelier], dpo[likelier])
    assert (minor[~likelier] > dpo[~likelier]).all()


def test_rpo_backward_with_certain_rewards_is_dpo() -> None:
    scores = random_scores(16)
    assert torch.allclose(RPOBackward(beta=0.1, eta=1e4)(scores, {}).loss, DPO(beta=0.1)(scores, {}).loss, rtol=1e-9)


def test_rpo_squared_with_a_constant_gap_is_summed_ipo() -> None:
    scores = random_scores(16)
    assert scores.chosen.reward is not None
    assert scores.rejected.reward is not None
    scores.chosen.reward.fill_(0.5)
    scores.rejected.reward.fill_(0.0)
    squared = RPOSquared(beta=0.1, eta=1.0)(scores, {}).loss / 0.1**2
    assert torch.allclose(squared, IPO(beta=0.1, length_normalized=False)(scores, {}).loss, rtol=1e-12)

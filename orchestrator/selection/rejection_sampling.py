"""RS-DPO: of all ordered pairs of a prompt's responses, those whose order the rewards are sure of."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from orchestrator.errors import SettingsError
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse


def is_accepted(reward_margin: np.ndarray, tau: float, eta: float) -> np.ndarray:
    """Which margins r_w - r_l are sure enough: sigmoid(margin / tau) > eta. arXiv:2402.10038, Algorithm 1.

    Raises SettingsError for an `eta` below one half, with which a pair would be accepted in both orders.
    """
    if not 0.5 <= eta < 1:
        raise SettingsError(f"eta is {eta}", "rejection sampling", "give 0.5 or more, and less than 1")
    # sigmoid(x) > eta is x > log(eta / (1 - eta)), which does not overflow.
    return reward_margin / tau > np.log(eta / (1 - eta))


def accepted_pairs(rewards: Sequence[float], tau: float, eta: float) -> list[tuple[int, int]]:
    """All accepted pairs (preferred, dispreferred) of K responses, as numbers into their rewards."""
    values = np.asarray(rewards, dtype=np.float64)
    better, worse = np.nonzero(is_accepted(values[:, None] - values[None, :], tau, eta))
    return list(zip(better.tolist(), worse.tolist(), strict=True))


def all_accepted(pairs: Sequence[PreferencePair], tau: float, eta: float) -> list[PreferencePair]:
    """Every accepted pair of all responses to each prompt, two or more, as pairs of two, each response with its turn's further fields.

    Pairs without rewards are left out, and the rejected response is never preferred to the chosen one, whatever their rewards.
    """
    found = []
    for pair in pairs:
        if pair.chosen_reward is None or pair.rejected_reward is None:
            continue
        both = (ScoredResponse(pair.chosen, pair.chosen_reward), ScoredResponse(pair.rejected, pair.rejected_reward))
        responses, extras = (*both, *pair.others), (pair.chosen_extra, pair.rejected_extra, *({} for _ in pair.others))
        for better, worse in accepted_pairs([response.reward for response in responses], tau, eta):
            if (better, worse) == (1, 0):
                continue
            chosen, rejected = responses[better], responses[worse]
            rewards = {"chosen_reward": chosen.reward, "rejected_reward": rejected.reward}
            turns = {"chosen_extra": extras[better], "rejected_extra": extras[worse]}
            found.append(replace(pair, chosen=chosen.text, rejected=rejected.text, others=(), **rewards, **turns))
    return found

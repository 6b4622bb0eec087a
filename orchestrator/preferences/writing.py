"""Preference pairs as rows of a file, in the form that `load_pairs` reads."""

from typing import Any

from orchestrator.preferences.pairs import PreferencePair


def row_of(pair: PreferencePair) -> dict[str, Any]:
    """A pair as a row of JSON Lines: with its rewards where it has them; with all responses where there are more than two."""
    prompt = [message.as_dict() for message in pair.prompt]
    if pair.others:
        scored = [(pair.chosen, pair.chosen_reward), *((other.text, other.reward) for other in pair.others)]
        scored.append((pair.rejected, pair.rejected_reward))
        return {"prompt": prompt, "responses": [text for text, _ in scored], "rewards": [reward for _, reward in scored]}
    rewards = {"chosen_reward": pair.chosen_reward, "rejected_reward": pair.rejected_reward}
    known = {name: reward for name, reward in rewards.items() if reward is not None}
    return {"prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected, **known}

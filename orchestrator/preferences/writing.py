"""Preference pairs as rows of a file, in the form that `load_pairs` reads."""

from collections.abc import Mapping
from typing import Any

from evals.prompts import Message
from orchestrator.preferences.pairs import PreferencePair


def row_of(pair: PreferencePair) -> dict[str, Any]:
    """A pair as a row of JSON Lines: with its rewards where it has them; with all responses where there are more than two."""
    prompt = [message.as_dict() for message in pair.prompt]
    tools = {"tools": list(pair.tools)} if pair.tools else {}
    if pair.others:
        scored = [(pair.chosen, pair.chosen_reward), *((other.text, other.reward) for other in pair.others)]
        scored.append((pair.rejected, pair.rejected_reward))
        return {"prompt": prompt, "responses": [text for text, _ in scored], "rewards": [reward for _, reward in scored], **tools}
    rewards = {"chosen_reward": pair.chosen_reward, "rejected_reward": pair.rejected_reward}
    known = {name: reward for name, reward in rewards.items() if reward is not None}
    chosen, rejected = _response(pair.chosen, pair.chosen_extra), _response(pair.rejected, pair.rejected_extra)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **known, **tools}


def _response(text: str, extra: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    """The text alone, or a turn with what else the assistant's has: tool calls, its reasoning."""
    return [Message("assistant", text, extra).as_dict()] if extra else text

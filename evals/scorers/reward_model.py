"""A reward model as a scorer."""

from collections.abc import Sequence
from dataclasses import dataclass

from evals.asking import ChatModel
from evals.judges.reward_model import is_reward, response_question
from evals.scoring import ScoredItem


@dataclass(frozen=True)
class RewardModelScorer:
    """The reward that a model gives; `model` is a RewardModel, or one that remembers its replies."""

    model: ChatModel

    @property
    def name(self) -> str:
        return self.model.name

    def score(self, items: Sequence[ScoredItem]) -> list[float | None]:
        """Rewards in order; None for a response that has none. Raises what the reward model raises."""
        replies = self.model.ask([response_question(item.prompt, item.text) for item in items])
        return [float(reply.text) if is_reward(reply) else None for reply in replies]

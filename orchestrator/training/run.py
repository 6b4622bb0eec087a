"""All that decides what a training run does."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.objectives.contract import Objective
from orchestrator.policy.loading import load_policy
from orchestrator.policy.reward_model import load_reward_policy
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.pairs import PairBatch, TokenizedPair, collate, tokens_of
from orchestrator.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingRun:
    """All that decides a run's result: the method, the settings, the tokenised pairs and the models; and where it writes.

    `references` are models besides the base model that some methods compare the policy with. `validation` are pairs that are scored at
    each checkpoint and never trained on; in `every_pair` they follow the others, and indices count through both. With `keeps_engines`
    each checkpoint keeps what resuming needs, for runs that take up this one's training there.
    """

    objective: Objective
    settings: TrainingSettings
    pairs: Sequence[TokenizedPair]
    model: str
    tokenizer: Any
    directory: Path
    reference_cache: str
    references: tuple[str, ...] = ()
    validation: Sequence[TokenizedPair] = ()
    keeps_engines: bool = False

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.total_steps(len(self.pairs))

    @cached_property
    def every_pair(self) -> Sequence[TokenizedPair]:
        """The pairs that are trained on, then those that are not."""
        return (*self.pairs, *self.validation) if self.validation else self.pairs

    @property
    def validation_indices(self) -> range:
        """Where the pairs that are not trained on lie among all."""
        return range(len(self.pairs), len(self.every_pair))

    def policy(self) -> ScoringModel:
        """The model that is trained, a reward model where values are needed. Raises ModelError, SettingsError (see load_policy)."""
        settings = self.settings
        if self.objective.needs.value:
            padding, sparing = self.tokenizer.pad_token_id, settings.gradient_checkpointing
            return load_reward_policy(self.model, settings.dtype, padding, settings.seed, sparing, settings.compile)
        return load_policy(self.model, settings.dtype, settings.gradient_checkpointing, settings.lora, settings.compile)

    def collate(self, indices: Sequence[int]) -> PairBatch:
        """Some of the pairs as a batch, with the further responses that the method asks for."""
        needs = self.objective.needs
        return collate(self.every_pair, indices, others=needs.candidates, mismatched=needs.mismatched)

    def tokens_of(self, pair: int) -> int:
        """How many tokens a pair takes in a batch."""
        needs = self.objective.needs
        return tokens_of(self.every_pair[pair], others=needs.candidates, mismatched=needs.mismatched)

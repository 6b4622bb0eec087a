"""All that decides what a training run does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchestrator.objectives.contract import Objective
from orchestrator.policy.loading import load_policy
from orchestrator.policy.reward_model import load_reward_policy
from orchestrator.policy.scoring_model import ScoringModel
from orchestrator.preferences.pairs import PairBatch, TokenizedPair, collate, tokens_of
from orchestrator.preferences.sequences import JoinedPairs
from orchestrator.selection.choosing import count_selected, explicit_margins
from orchestrator.settings import SelectionSettings, TrainingSettings


@dataclass(frozen=True)
class TrainingRun:
    """All that decides a run's result: the method, the settings, the tokenised pairs and the models; and where it writes.

    `selection` says which of the pairs are trained on. `reference` mixes the log-probabilities of models with weights, in the place of the
    base model's; `references` are models besides it that some methods compare the policy with. `validation` are pairs that are scored at
    each checkpoint and never trained on; in `every_pair` they follow the others, and indices count through both. With `keeps_engines`
    each checkpoint keeps what resuming needs, for runs that take up this one's training there. A run goes on `until` a step, its last one
    by default, where another run of the same directory may go on with other pairs; where that has another reference too, it is
    `compared_since` the step from which it goes on.
    """

    objective: Objective
    settings: TrainingSettings
    pairs: Sequence[TokenizedPair]
    model: str
    tokenizer: Any
    directory: Path
    reference_cache: str
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    reference: Mapping[str, float] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    validation: Sequence[TokenizedPair] = ()
    keeps_engines: bool = False
    until: int | None = None
    compared_since: int = 0

    @property
    def compared_with(self) -> Mapping[str, float]:
        """The models whose log-probabilities the policy's are compared with, and their weights."""
        return self.reference or {self.model: 1.0}

    @property
    def last_step(self) -> int:
        """The step at which the training of these pairs ends."""
        return self.steps if self.until is None else min(self.until, self.steps)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.total_steps(self.kept)

    @cached_property
    def explicit_margins(self) -> np.ndarray:
        """How far the reward of each pair's chosen response is above the rejected one's, (N,); NaN where the data has none."""
        return explicit_margins(self.pairs)

    @cached_property
    def kept(self) -> int:
        """How many of the pairs are trained on. Raises DataFormatError (see `selected`)."""
        return count_selected(self.selection, self.explicit_margins)

    @cached_property
    def every_pair(self) -> Sequence[TokenizedPair]:
        """The pairs that are trained on, then those that are not."""
        return JoinedPairs(self.pairs, self.validation) if self.validation else self.pairs

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
        # Adapters begin at random: by the seed alone, whatever this process has trained before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return load_policy(self.model, settings.dtype, settings.gradient_checkpointing, settings.lora, settings.compile)

    def collate(self, indices: Sequence[int]) -> PairBatch:
        """Some of the pairs as a batch, with the further responses that the method asks for."""
        needs = self.objective.needs
        return collate(self.every_pair, indices, others=needs.candidates, mismatched=needs.mismatched)

    def tokens_of(self, pair: int) -> int:
        """How many tokens a pair takes in a batch."""
        needs = self.objective.needs
        return tokens_of(self.every_pair[pair], others=needs.candidates, mismatched=needs.mismatched)

"""Choosing pairs of a data set outside of training: by this process's device, with scores that a search's trials find in the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.objectives import make_objective
from orchestrator.policy.loading import load_tokenizer
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.tokenization import Lengths, tokenize_each
from orchestrator.selection.choosing import Margins, selected
from orchestrator.settings import SelectionSettings, TrainingSettings
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.references import reference_table
from orchestrator.training.run import TrainingRun


@dataclass(frozen=True)
class Chosen:
    """What was chosen among N pairs: `kept` are their places; `identical` pairs, whose responses truncation made equal, could not be."""

    pairs: Sequence[TokenizedPair]
    margins: Margins
    kept: Sequence[int]
    identical: Sequence[int]


def choose(
    model: str, pairs: Sequence[PreferencePair], lengths: Lengths, settings: SelectionSettings, training: TrainingSettings, cache: str
) -> Chosen:
    """Choose by the settings' metric under `model`, scored in the precision of `training`; scores are kept in the directory `cache`.

    Raises DataFormatError when the metric needs rewards that are absent, ModelError for a model that cannot be loaded.
    """
    tokenizer = load_tokenizer(model)
    tokenized = tokenize_each(tokenizer, pairs, lengths)
    different = [place for place, pair in enumerate(tokenized) if pair.chosen != pair.rejected]
    run = TrainingRun(make_objective("dpo", {}), training, [tokenized[place] for place in different], model, tokenizer, Path(), cache)
    implicit = None
    if settings.needs_model:
        engine = LocalEngine(run.policy(), training)
        implicit = reference_table(run, engine, model).mean_margins(run.pairs)
    kept = [different[place] for place in selected(settings, Margins(run.explicit_margins, implicit))]
    margins = Margins(_spread(run.explicit_margins, different, len(pairs)), _spread(implicit, different, len(pairs)))
    same = set(different)
    return Chosen(tokenized, margins, kept, [place for place in range(len(pairs)) if place not in same])


def _spread(values: np.ndarray | None, places: Sequence[int], count: int) -> np.ndarray:
    """The values at their places among `count`; NaN elsewhere."""
    spread = np.full(count, np.nan)
    if values is not None:
        spread[list(places)] = values
    return spread

"""Choosing pairs of a data set outside of training, by this process's device.

The scores are kept under what they are of: another selection finds them, and so do trials on all of the same pairs, with none held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.errors import DataFormatError
from orchestrator.objectives import make_objective
from orchestrator.policy.loading import load_tokenizer
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.rows import BadRow, unfit
from orchestrator.preferences.tokenization import fitted
from orchestrator.selection.choosing import Margins, selected
from orchestrator.settings import SelectionSettings, TrainingSettings
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.references import reference_table
from orchestrator.training.run import TrainingRun


@dataclass(frozen=True)
class Chosen:
    """What was chosen among N pairs, told as text and as tokens: `kept` are their places.

    `identical` pairs, whose responses truncation made equal, could not be chosen; `unfit` rows gave pairs that are not among the N.
    """

    texts: Sequence[PreferencePair]
    pairs: Sequence[TokenizedPair]
    margins: Margins
    kept: Sequence[int]
    identical: Sequence[int]
    unfit: Sequence[BadRow]


def choose(
    model: str, pairs: Sequence[PreferencePair], context: int, settings: SelectionSettings, training: TrainingSettings, cache: str
) -> Chosen:
    """Choose by the settings' metric under `model`, scored in the precision of `training`; scores are kept in the directory `cache`.

    Raises DataFormatError when no pair fits or the metric needs rewards that are absent, ModelError for a model that cannot be loaded.
    """
    tokenizer = load_tokenizer(model)
    made = list(zip(pairs, fitted(tokenizer, pairs, context), strict=True))
    texts = [pair for pair, tokens in made if isinstance(tokens, TokenizedPair)]
    tokenized = [tokens for _, tokens in made if isinstance(tokens, TokenizedPair)]
    bad = unfit(error for _, error in made if not isinstance(error, TokenizedPair))
    if not texts:
        raise DataFormatError(f"none of {len(pairs)} pairs fits; the first: {bad[0].reason}", bad[0].origin, bad[0].cure)
    different = [place for place, pair in enumerate(tokenized) if pair.chosen != pair.rejected]
    run = TrainingRun(make_objective("dpo", {}), training, [tokenized[place] for place in different], model, tokenizer, Path(), cache)
    implicit = None
    if settings.needs_model:
        engine = LocalEngine(run.policy(), training)
        implicit = reference_table(run, engine, model).mean_margins(run.pairs)
    kept = [different[place] for place in selected(settings, Margins(run.explicit_margins, implicit))]
    margins = Margins(_spread(run.explicit_margins, different, len(texts)), _spread(implicit, different, len(texts)))
    identical = sorted({*range(len(texts))} - {*different})
    return Chosen(texts, tokenized, margins, kept, identical, bad)


def _spread(values: np.ndarray | None, places: Sequence[int], count: int) -> np.ndarray:
    """The values at their places among `count`; NaN elsewhere."""
    spread = np.full(count, np.nan)
    if values is not None:
        spread[list(places)] = values
    return spread

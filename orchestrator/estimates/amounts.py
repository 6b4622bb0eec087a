"""How long the texts are: pairs to train on, prompts to answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import UserError
from orchestrator.search.trial import searched_selections
from orchestrator.settings import EvaluationSettings, Settings

if TYPE_CHECKING:
    import numpy as np

    # Who only reckons needs no torch.
    from orchestrator.preferences.pairs import PreferencePair, TokenizedPair

Item = TypeVar("Item")

# A mean over so many is sure to a few percent; tokenising all of a large set takes a minute.
_SAMPLE = 400


@dataclass(frozen=True)
class Amounts:
    """Pairs to train on, the tokens of one on average (its prompt once) and those of its two responses; prompts of the search and the
    finals, and an average prompt's tokens.
    """

    pairs: int
    pair_tokens: float
    response_tokens: float
    prompts: int
    held_out: int
    prompt_tokens: float

    @property
    def answer_tokens(self) -> float:
        """What an answer is long if it is as long as the responses that were trained on."""
        return self.response_tokens / 2


def amounts_of(settings: Settings) -> Amounts:
    """Counted in the settings' files, lengths by a sample. Raises DataFormatError and ModelError as training does."""
    from orchestrator.policy.loading import load_tokenizer
    from orchestrator.preferences.holding_out import USUAL_SHARE
    from orchestrator.preferences.rows import unfit_error
    from orchestrator.preferences.tokenization import fitted, tokenize
    from orchestrator.selection.choosing import explicit_margins
    from orchestrator.training.inputs import read_sources

    assert settings.model.base is not None
    pairs = read_sources(settings.data).pairs
    some = sampled(pairs)
    tokenizer, context = load_tokenizer(settings.model.base, alone=True), settings.data.context
    refuses = settings.data.bad_rows == "refuse"
    for made in fitted(tokenizer, _perhaps_too_long(pairs, context), context) if refuses else ():
        if isinstance(made, UserError):
            raise unfit_error(made)
    tokens = tokenize(tokenizer, some, context, 0, leave_out=not refuses).pairs
    # Pairs that are alike after truncation are left out of training.
    different = round(len(pairs) * len(tokens) / len(some))
    kept = different - min(settings.data.validation_pairs, int(USUAL_SHARE * different))
    return measured_amounts(settings.evaluation, tokens, trained_on(settings, explicit_margins(pairs[:kept])))


def _perhaps_too_long(pairs: Sequence[PreferencePair], context: int) -> list[PreferencePair]:
    """The pairs whose prompt may fill the context: a token has at least one byte, and tools are written in a way of the template's own."""
    return [pair for pair in pairs if pair.tools or sum(len(str(message.as_dict()).encode()) for message in pair.prompt) >= context]


def trained_on(settings: Settings, margins: np.ndarray) -> int:
    """How many of the pairs with these explicit margins, (N,), a trial is trained on, under the settings' selection.

    Raises DataFormatError when any selection that is searched keeps too few.
    """
    from orchestrator.selection.choosing import count_selected

    counts = [count_selected(selection, margins) for selection in (settings.selection, *searched_selections(settings))]
    for count in counts:
        settings.training.total_steps(count)
    return counts[0] if len(counts) == 1 else len(margins)


def sampled(pairs: Sequence[Item]) -> list[Item]:
    """As many as lengths need to be known by, always the same ones."""
    return [pairs[number] for number in random.Random(0).sample(range(len(pairs)), min(_SAMPLE, len(pairs)))]


def measured_amounts(evaluation: EvaluationSettings, sample: Sequence[TokenizedPair], pairs: int) -> Amounts:
    """Of so many pairs, of which these are a sample, and of the evaluation's prompts. Raises DataFormatError for a bad file of these."""
    from evals.prompts import load_prompts

    counts = [0 if file is None else len(load_prompts(file).prompts) for file in (evaluation.prompts, evaluation.held_out)]
    responses = fmean(len(pair.chosen) + len(pair.rejected) for pair in sample)
    prompt = fmean(len(pair.prompt) for pair in sample)
    return Amounts(pairs, prompt + responses, responses, *counts, prompt_tokens=prompt)

"""What a run trains on: the tokenizer and the tokenised pairs, checked against what the method needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.errors import DataFormatError, SettingsError
from orchestrator.policy.loading import load_tokenizer
from orchestrator.policy.scores import Needs
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.preferences.sources import load_pairs
from orchestrator.preferences.tokenization import Lengths, tokenize
from orchestrator.settings import DataSettings


@dataclass(frozen=True)
class Inputs:
    """Tokenised pairs and the tokenizer they were made with; `identical` pairs were left out, `validation` pairs are not trained on."""

    tokenizer: Any
    pairs: Sequence[TokenizedPair]
    identical: int
    validation: Sequence[TokenizedPair]


def load_inputs(model: str, data: DataSettings) -> Inputs:
    """Read and tokenise once per process; trials that follow get the same object. `data.train` is given."""
    assert data.train is not None
    return _loaded(model, data.train, data.context, data.limit, data.validation_pairs)


@lru_cache(maxsize=2)
def _loaded(model: str, train: Path, context: int, limit: int | None, held_out: int) -> Inputs:
    tokenizer = load_tokenizer(model)
    data = tokenize(tokenizer, load_pairs(train, limit), Lengths(context), held_out)
    return Inputs(tokenizer, data.pairs, data.identical, data.validation)


def check_needs(needs: Mapping[str, Needs], pairs: Sequence[TokenizedPair], origin: Path, references: int) -> None:
    """Refuse methods that need rewards when the data has none, or further references when there are too few."""
    check_references(needs, references)
    without = next((number for number, pair in enumerate(pairs, 1) if pair.chosen_reward is None), None)
    hungry = [method for method, need in needs.items() if need.reward]
    if hungry and without is not None:
        raise DataFormatError(
            f"{', '.join(hungry)} need rewards, and pair {without} of the data has none",
            str(origin),
            "add `chosen_reward` and `rejected_reward` to every row, or leave these methods out of search.methods",
        )


def check_references(needs: Mapping[str, Needs], references: int) -> None:
    """Refuse methods that need more further references than there are."""
    lonely = [method for method, need in needs.items() if need.extra_references > references]
    if lonely:
        raise SettingsError(
            f"{', '.join(lonely)} compare the policy with further models, and {references} are given",
            "model.references",
            "name them there, as Hugging Face directories or hub identifiers, or leave these methods out of search.methods",
        )

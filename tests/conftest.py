"""A tiny model and a tiny data set that every room's tests share."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.prompts import Message
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse, TokenizedPair
from tests.evals.tiny_model import make_tiny_model
from tests.power_loss import Power
from tests.side_by_side import OneEngineAtATime, longest_first


def make_pairs(count: int, seed: int = 0) -> list[PreferencePair]:
    """Pairs with a rule to learn: the chosen answer repeats the prompt's word, the rejected one, and sometimes a third, says another."""
    words = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog"]
    chance = random.Random(seed)
    pairs = []
    for _ in range(count):
        right, wrong, also_wrong = chance.sample(words, 3)
        reward = chance.random()
        others = (ScoredResponse(also_wrong, reward + 0.5),) * chance.randrange(2)
        pairs.append(PreferencePair((Message("user", f"say {right}"),), right, wrong, 1 + reward, reward, others=others))
    return pairs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first."""
    items[:] = longest_first(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneEngineAtATime:
    """Share tests out by files, and start one engine at a time."""
    return OneEngineAtATime(config, log)


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Power:
    """The machine's, which may fail."""
    return Power(monkeypatch)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers, as a Hugging Face directory."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", seed=0, scale=0.05)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another random model, for methods that compare the policy with more than one reference."""
    return make_tiny_model(tmp_path_factory.mktemp("other") / "model", seed=1, scale=0.05)


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> Any:
    """The tiny model's tokenizer."""
    from orchestrator.policy.loading import load_tokenizer

    return load_tokenizer(str(tiny_model))


@pytest.fixture(scope="session")
def tokenized_pairs(tokenizer: Any) -> Sequence[TokenizedPair]:
    """64 tokenised pairs with rewards."""
    from orchestrator.preferences.tokenization import tokenize

    return tokenize(tokenizer, make_pairs(64), 64).pairs

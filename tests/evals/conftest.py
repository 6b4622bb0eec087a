"""Fixtures of the evaluation tests: small models, and a judge's server that misbehaves on demand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evals.fake_server import FakeServer
from tests.evals.tiny_model import make_tiny_model


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """Start a local server of chat completions; requests to it never go through a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeServer() as running:
        yield running


@pytest.fixture(scope="session")
def model_a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model_a"), seed=1)


@pytest.fixture(scope="session")
def model_b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `model_a`, with other weights."""
    return make_tiny_model(tmp_path_factory.mktemp("model_b"), seed=2)


@pytest.fixture(scope="session")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twice as wide as `model_a`: its weights do not fit that model's engine."""
    return make_tiny_model(tmp_path_factory.mktemp("wide_model"), seed=3, hidden=128)

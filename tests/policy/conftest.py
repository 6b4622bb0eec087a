"""Two random models with logits far from uniform, so that mistakes show."""

from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.policy.loading import load_policy, load_reference
from orchestrator.policy.scoring_model import ScoringModel
from tests.evals.tiny_model import make_tiny_model
from tests.policy.plain import plain_model


@pytest.fixture(scope="session")
def sharp_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy's directory."""
    return make_tiny_model(tmp_path_factory.mktemp("sharp") / "model", seed=3)


@pytest.fixture(scope="session")
def other_sharp_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a reference that differs from the policy."""
    return make_tiny_model(tmp_path_factory.mktemp("other_sharp") / "model", seed=4)


@pytest.fixture(scope="session")
def policy(sharp_model: Path) -> ScoringModel:
    """The policy in float32."""
    return load_policy(str(sharp_model), torch.float32).eval()


@pytest.fixture(scope="session")
def reference(other_sharp_model: Path) -> ScoringModel:
    """The reference in float32, frozen."""
    return load_reference(str(other_sharp_model), torch.float32, torch.device("cpu"))


@pytest.fixture(scope="session")
def plain_policy(sharp_model: Path) -> Any:
    """The policy as transformers loads it."""
    return plain_model(sharp_model)


@pytest.fixture(scope="session")
def plain_reference(other_sharp_model: Path) -> Any:
    """The reference as transformers loads it."""
    return plain_model(other_sharp_model)

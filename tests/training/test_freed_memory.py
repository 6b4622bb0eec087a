"""What a trial held of a GPU is free when it ends, for an engine that shares it."""

import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.policy.adapters import WithoutAdapters
from orchestrator.training.deepspeed_engine import DeepSpeedEngine


def test_a_closed_engine_holds_no_policy_and_its_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    policy: Any = torch.nn.Linear(2, 2)
    alive = weakref.ref(policy)
    engine: Any = object.__new__(DeepSpeedEngine)
    # DeepSpeed's engines hold themselves.
    engine._engine, engine._base = SimpleNamespace(destroy=lambda: None, module=policy), WithoutAdapters(policy)
    engine._engine.itself = engine._engine
    del policy
    left: list[bool] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: left.append(alive() is not None))
    engine.close()
    assert left == [False]

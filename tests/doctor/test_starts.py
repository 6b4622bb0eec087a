"""What is started, and what is said of a model that is not there."""

from pathlib import Path

import pytest

from orchestrator.doctor import starts
from orchestrator.doctor.findings import Finding, Status, ok, warn
from orchestrator.doctor.subject import EngineStart

START = EngineStart(4096, 0.6)


@pytest.mark.parametrize(
    ("precision", "bf16", "has_gpu", "is_told"),
    [("bf16", 0.8e9, False, True), ("bf16", 40e9, False, False), ("bf16", 0.8e9, True, False), ("fp32", 0.8e9, False, False)],
)
def test_bf16_on_a_processor_that_is_not_made_for_it_is_told_with_the_cure(
    precision: str, bf16: float, has_gpu: bool, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    monkeypatch.setattr("orchestrator.policy.cost.processor_flops", lambda: {"fp32": 80e9, "bf16": bf16})
    found = [each for each in starts.check_libraries(precision) if each.name == "precision"]
    told = "this processor computes 0.8 GFLOP/s in bf16 and 80.0 in fp32"
    assert found == [warn("precision", told, 'set training.precision = "fp32" for runs that train on it')] * is_told


def test_a_model_that_is_not_on_this_machine_has_the_engine_tried_with_a_tiny_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[bool, EngineStart]] = []

    def one_token(directory: Path, name: str, start: EngineStart) -> Finding:
        tried.append(((directory / "config.json").is_file(), start))
        return ok("engine", f"says a token: {name}")

    monkeypatch.setattr(starts, "_one_token", one_token)
    monkeypatch.setattr(starts, "kept_model", lambda model: None)
    found = starts.check_engine("somebody/gated", START)
    assert [each.status for each in found] == [Status.OK, Status.WARN]
    assert "somebody/gated is not on this machine" in found[1].found
    [(is_model, start)] = tried
    assert is_model
    assert start.max_model_len is not None and start.max_model_len < 4096, "a tiny model has no room for the run's context"

"""What is started, and what is said of a model that is not there."""

from pathlib import Path

import pytest

from orchestrator.doctor import starts, steps
from orchestrator.doctor.apart import Answer
from orchestrator.doctor.findings import Finding, Status, ok, warn
from orchestrator.doctor.subject import EngineStart
from tests.doctor.machines import machine

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


@pytest.mark.parametrize(
    ("seen", "are_given", "status"), [(2, False, Status.WARN), (2, True, Status.FAIL), (0, False, Status.FAIL), (8, True, None)]
)
def test_gpus_that_are_kept_from_this_process_are_a_warning_and_gpus_that_were_given_and_are_not_seen_a_failure(
    seen: int, are_given: bool, status: Status | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: seen > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: seen)
    monkeypatch.setattr(starts, "_computing", lambda seen: [])
    assert [each.status for each in starts.check_gpus(8, are_given)] == ([] if status is None else [status])


@pytest.mark.parametrize(("named", "count"), [(None, 8), ("0,1", 2), ("GPU-1a, GPU-2b", 2), ("", 0), ("-1", 0)])
def test_as_many_gpus_are_expected_as_the_environment_leaves(named: str | None, count: int) -> None:
    facts = machine(environment={} if named is None else {"CUDA_VISIBLE_DEVICES": named})
    assert (facts.gpus, facts.visible_gpus) == (8, count)
    assert steps._gpus([Answer(facts)]) == count


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

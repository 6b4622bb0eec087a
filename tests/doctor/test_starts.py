"""What is started, and what is said of a model that is not there."""

from pathlib import Path

import pytest

from orchestrator.doctor import starts
from orchestrator.doctor.findings import Finding, Status, ok
from orchestrator.doctor.subject import EngineStart

START = EngineStart(4096, 0.6)


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

"""What `from orchestrator import ...` gives, however much was imported before."""

from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import DPO, METHODS, PreferencePair, SimPO, load_settings, train


def test_the_names_of_the_front_door_are_the_things_themselves() -> None:
    assert METHODS["simpo"] is SimPO
    assert METHODS["dpo"] is DPO
    assert PreferencePair.__module__ == "orchestrator.preferences.pairs"
    assert callable(train)
    assert callable(load_settings)


def test_search_runs_a_search_also_after_its_room_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import orchestrator.cluster.search
    import orchestrator.search.trial
    from orchestrator import search

    asked: list[Any] = []
    monkeypatch.setattr(orchestrator.cluster.search, "search", lambda settings, directory: asked.append((settings, directory)))
    search("settings", Path("runs"))  # pyright: ignore[reportCallIssue]
    assert asked == [("settings", Path("runs"))]
    assert orchestrator.search.trial.Trial.__name__ == "Trial"


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = orchestrator.nothing  # pyright: ignore[reportAttributeAccessIssue]

"""What the ladder decided of a checkpoint stays decided, also where the search ended before the judge had answered."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.cluster.hub import proxies
from orchestrator.cluster.hub.proxies import Proxies
from orchestrator.search.board import Board
from orchestrator.search.ladder import Action, RankCorrelation, Trust
from orchestrator.search.ledger import Events
from orchestrator.settings import LadderSettings

SETTINGS = LadderSettings(prune=True, audit=3)


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(proxies, "may_prune", lambda figures, rules: Trust(True, "trusted", RankCorrelation(8)))
    yield


def decided(ladder: Proxies, trial: str, accuracy: float) -> dict[str, Any]:
    """What the ladder rules of a trial's first checkpoint, as a line of the ledger; with `is_known`."""
    (ruling,) = ladder.decide(trial, 1, {"validation_accuracy": accuracy}, {}, Board(2))
    return {"event": "ladder", "trial": trial, "checkpoint_number": 1, **ruling.as_dict(), "is_known": ruling.is_known}


def test_an_audit_that_was_interrupted_is_an_audit_when_the_search_goes_on_and_later_ones_stay_where_they_were() -> None:
    accuracies = {"a": 0.9, "b": 0.8, "c": 0.2, "d": 0.1, "e": 0.05, "f": 0.03}
    whole = Proxies(SETTINGS, Events())
    lines = [decided(whole, trial, accuracy) for trial, accuracy in accuracies.items()]
    actions = [line["action"] for line in lines]
    assert actions == [Action.JUDGE, Action.AUDIT, Action.PRUNE, Action.PRUNE, Action.AUDIT, Action.PRUNE]
    for stopped_after in (2, 3, 5):
        resumed = Proxies(SETTINGS, Events(lines[:stopped_after]))
        last = lines[stopped_after - 1]
        again = decided(resumed, last["trial"], accuracies[last["trial"]])
        assert again == last | {"is_known": True}
        assert [decided(resumed, trial, accuracies[trial])["action"] for trial in list(accuracies)[stopped_after:]] == actions[
            stopped_after:
        ]


def test_a_ruling_that_an_earlier_session_wrote_twice_counts_once() -> None:
    whole = Proxies(SETTINGS, Events())
    lines = [decided(whole, trial, accuracy) for trial, accuracy in {"a": 0.9, "b": 0.8}.items()]
    resumed = Proxies(SETTINGS, Events([*lines, lines[-1]]))
    assert [decided(resumed, trial, accuracy)["action"] for trial, accuracy in {"c": 0.2, "d": 0.1, "e": 0.05}.items()] == [
        Action.PRUNE,
        Action.PRUNE,
        Action.AUDIT,
    ]

"""What a terminal shows while a search runs: the best, what is under way, spending and projection; others get a line now and then."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.report import narration
from orchestrator.report.following import Follower, Tail
from orchestrator.report.narration import Narrator
from orchestrator.search.ledger import Event
from orchestrator.search.trial import Trial
from tests.search import events as made

FIRST, SECOND = Trial("001-dpo", "dpo", {"beta": 0.1}, {}), Trial("002-simpo", "simpo", {"beta": 2.0}, {})
EVENTS: list[Event] = [
    made.began(time=1.0),
    made.joined(FIRST),
    made.joined(SECOND),
    made.attempted(SECOND.id),
    made.scored(FIRST.id, 10, 61.0, verdicts={"p1": 1.0}),
    made.ended(FIRST.id, "completed"),
]


class Terminal(io.StringIO):
    """A screen that calls itself a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def write(directory: Path, events: list[Event], end: str = "") -> Path:
    """Add events to a ledger, and the beginning of a line."""
    with (directory / "ledger.jsonl").open("a") as file:
        file.write("".join(json.dumps(event) + "\n" for event in events) + end)
    return directory


def shown(follower: Any) -> str:
    """As a wide terminal has it."""
    console = Console(file=io.StringIO(), width=160)
    console.print(follower)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_best_the_trials_under_way_the_spending_and_the_projection_are_shown(tmp_path: Path) -> None:
    text = shown(Follower(write(tmp_path, EVENTS), 4, clock=lambda: 61.0))
    assert "1  001-dpo" in text and "61.0 (56.0–66.0)" in text
    assert "1 of 4 trials over, 1 training" in text
    assert "spent: 102 judgments, 1.0 minutes; expected in all: 408 judgments, 4.0 minutes" in text


def test_in_the_finals_their_scores_are_counted(tmp_path: Path) -> None:
    finals = [{"event": "finals", "time": 2.0}, made.held_out(FIRST.id, made.verdicts(*[1.0] * 6, *[0.0] * 4))]
    assert "finals: 1 run scored" in shown(Follower(write(tmp_path, [*EVENTS, *finals]), 4))


def test_each_event_is_read_once_half_a_line_is_waited_for_and_verdicts_are_not_kept(tmp_path: Path) -> None:
    whole = json.dumps(made.scored(SECOND.id, 10, 70.0)) + "\n"
    tail = Tail(write(tmp_path, EVENTS, whole[:40]) / "ledger.jsonl")
    assert tail.grown() and len(tail.events) == len(EVENTS)
    assert not tail.grown()
    write(tmp_path, [], whole[40:])
    assert tail.grown() and len(tail.events) == len(EVENTS) + 1
    assert not any("verdicts" in event for event in tail.events)


def test_before_there_is_a_ledger_there_is_something_to_show(tmp_path: Path) -> None:
    assert "0 of 4 trials over" in shown(Follower(tmp_path, 4))


def test_a_terminal_has_the_table_below_the_story_and_is_left_clean(tmp_path: Path) -> None:
    screen = Terminal()
    story = Narrator(screen)
    with story.following(write(tmp_path, EVENTS), 4):
        story.say("the story goes on")
        with story.waiting("waiting inside"):
            pass
    text = screen.getvalue()
    assert "1 of 4 trials over" in text and "the story goes on" in text
    assert "trials over" not in text.rpartition("\x1b[2K")[2]


def test_another_screen_gets_a_line_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narration, "_TELLS_EVERY_S", 0.05)
    screen = io.StringIO()
    story = Narrator(screen)
    with story.following(write(tmp_path, EVENTS), 4):
        while "trials over" not in screen.getvalue():
            pass
    first = screen.getvalue().splitlines()[0]
    assert first.startswith("00:00  1 of 4 trials over, 1 training; spent: 102 judgments")

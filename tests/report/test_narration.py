"""The screen shows the story in plain lines; what anything else prints goes to the log."""

import io
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.preferences.rows import BadRow, SetAside
from orchestrator.report import narration
from orchestrator.report.narration import Narrator, _Stage, narrated, narrator
from orchestrator.search.leaderboard import Row
from orchestrator.search.trial import Trial
from tests.search import events as made

ROOT = Path(__file__).resolve().parent.parent.parent
TRIAL = Trial("001-dpo-abcd", "dpo", {"beta": 0.1}, {"learning_rate": 1e-6})
LOUD = """
import os, subprocess, sys
from pathlib import Path
from orchestrator.report.narration import narrated
with narrated(Path(sys.argv[1]) / "logs" / "driver.log") as story:
    print("python speaks")
    print("python complains", file=sys.stderr)
    os.write(1, b"a C library speaks\\n")
    os.write(2, b"a C library complains\\n")
    subprocess.run([sys.executable, "-c", "print('a child speaks')"])
    with story.waiting("waiting for nothing"):
        story.say("the story [bold]goes on[/bold]")
    if sys.argv[2:] == ["interrupted"]:
        raise KeyboardInterrupt
    if sys.argv[2:]:
        raise SystemExit("it ends badly")
print("the screen is everybody's again")
"""


@pytest.fixture
def screen() -> io.StringIO:
    """A screen that is no terminal."""
    return io.StringIO()


def result(step: int, win_rate: float) -> dict[str, Any]:
    """A score as Tune reports it."""
    where = {"step": step, "checkpoint": step // 10, "checkpoints": 3, "prompts": 100}
    return {**where, "win_rate": win_rate, "low": win_rate - 5, "high": win_rate + 5}


def lines(screen: io.StringIO) -> list[str]:
    """What was said, without the time before it."""
    return [line[7:] for line in screen.getvalue().splitlines()]


def test_what_is_waited_for_and_told_may_have_any_characters(screen: io.StringIO) -> None:
    story = Narrator(screen)
    with story.waiting("judging gpt[/x]"):
        story.say_path("[bold]guard template[/bold]:", "in 20 answers: [/INST] [link=https://x]here")
    assert lines(screen) == ["judging gpt[/x]", "guard template: in 20 answers: [/INST] [link=https://x]here"]


def test_a_screen_that_is_no_terminal_gets_plain_lines_with_the_time(screen: io.StringIO) -> None:
    story = Narrator(screen)
    with story.waiting("starting Ray"):
        story.say("a line " + "that is long " * 30)
    first, second = screen.getvalue().splitlines()
    assert first == "00:00  starting Ray"
    assert second.startswith("00:00  a line that is long")
    assert "\x1b" not in screen.getvalue()


def test_a_score_is_told_with_its_interval_and_the_best_so_far_is_marked(screen: io.StringIO) -> None:
    story = Narrator(screen)
    story.trial_started(TRIAL)
    for step, win_rate in ((10, 55.0), (20, 52.0), (30, 60.0)):
        story.scored(TRIAL, result(step, win_rate))
    assert lines(screen) == [
        "001-dpo-abcd joins: beta=0.1 learning_rate=1e-06",
        "001-dpo-abcd checkpoint 1/3, step 10: win rate 55.0 (50.0–60.0) on 100 prompts  best",
        "001-dpo-abcd checkpoint 2/3, step 20: win rate 52.0 (47.0–57.0) on 100 prompts",
        "001-dpo-abcd checkpoint 3/3, step 30: win rate 60.0 (55.0–65.0) on 100 prompts  best",
    ]


def test_the_end_of_a_trial_is_told_with_its_reason(screen: io.StringIO) -> None:
    Narrator(screen).trial_ended(TRIAL, "failed: the loss of dpo is nan [/x]", 10)
    assert lines(screen) == ["001-dpo-abcd failed: the loss of dpo is nan [/x] after step 10"]


def test_a_finalists_score_names_its_seed(screen: io.StringIO) -> None:
    Narrator(screen).finalist_scored(made.held_out("001-dpo-abcd", made.verdicts(*[1.0] * 6, *[0.0] * 4), seed=2))
    assert lines(screen)[0].startswith("001-dpo-abcd seed 2: win rate 60.0 (") and lines(screen)[0].endswith("on 10 held-out prompts")


def test_the_table_has_a_line_for_every_trial_and_no_number_for_one_that_was_not_scored(screen: io.StringIO) -> None:
    best = Row("001", "dpo", {"beta": 0.1}, win_rate=60.0, low=55.0, high=65.0, step=20, stopped_at=30, seconds=4.5, status="completed")
    best = replace(best, mean_length=812.0, unfinished=0.25)
    Narrator(screen).table([best, Row("002", "ipo", {}, status="failed")], "Leaderboard")
    text = screen.getvalue()
    assert "812 (25.0 % cut off)" in text
    assert "60.0 (55.0–65.0)" in text and "not scored" in text
    assert text.startswith("Leaderboard")
    assert "\x1b" not in text


def tell_loudly(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process in which everything prints while the story is told."""
    return subprocess.run(
        [sys.executable, "-c", LOUD, str(directory), *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def test_only_the_story_reaches_the_screen_and_everything_else_the_log(tmp_path: Path) -> None:
    done = tell_loudly(tmp_path)
    assert done.stderr == ""
    assert [line.split("  ")[-1] for line in done.stdout.splitlines()] == [
        "waiting for nothing",
        "the story goes on",
        "the screen is everybody's again",
    ]
    log = (tmp_path / "logs" / "driver.log").read_text()
    for words in ("python speaks", "python complains", "a C library speaks", "a C library complains", "a child speaks"):
        assert words in log
    assert "the story" not in log


def test_the_screen_is_given_back_when_the_story_ends_badly(tmp_path: Path) -> None:
    done = tell_loudly(tmp_path, "badly")
    assert done.returncode == 1
    assert done.stderr.strip() == "it ends badly"


def test_left_by_ctrl_c_the_story_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: io.StringIO) -> None:
    assert tell_loudly(tmp_path, "interrupted").stdout.endswith(f"the same command and --dir {tmp_path}\n")
    monkeypatch.setattr(narration, "screen_kept_from", lambda log: nullcontext(screen))
    for begun in (False, True):
        if begun:
            (tmp_path / "settings.json").touch()
        with pytest.raises(KeyboardInterrupt), narrated(tmp_path / "logs" / "driver.log", is_search=True):
            raise KeyboardInterrupt
    assert lines(screen)[0].endswith(f"the same command and --dir {tmp_path}")
    assert lines(screen)[1].endswith(f"To go on: daa search --resume {tmp_path}")


def test_a_process_without_a_story_narrates_to_its_own_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Stage, "narrator", None)
    narrator().say("alone")
    assert capsys.readouterr().out == "00:00  alone\n"


def test_a_trials_trouble_is_told_once_with_its_cure(screen: io.StringIO) -> None:
    story = Narrator(screen)
    for step, health, cure in ((10, "healthy", ""), (20, "falling", "add an SFT term"), (30, "falling", "add an SFT term")):
        story.scored(TRIAL, result(step, 50.0) | {"health": health, "cure": cure})
    assert [line for line in lines(screen) if "falling" in line] == ["001-dpo-abcd falling: add an SFT term"]


def test_what_the_data_were_taken_for_is_said_and_rows_without_a_pair_are_listed_beside_the_run(
    tmp_path: Path, screen: io.StringIO
) -> None:
    story = Narrator(screen)
    story.data_read(["a.jsonl: plain [text]"], [], tmp_path)
    assert "a.jsonl: plain [text]" in screen.getvalue()
    assert not (tmp_path / "quarantine.jsonl").exists()
    bad, aside = BadRow("a.jsonl", "a.jsonl:7", "no `chosen`", "", {"prompt": "?"}), SetAside("a.jsonl", "a.jsonl:9", "a tie")
    story.data_read([], [bad, aside], tmp_path)
    assert f"2 rows give no pair to train on; each with its place and the reason: {tmp_path / 'quarantine.jsonl'}" in screen.getvalue()
    written = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert written[0] == {"where": "a.jsonl:7", "reason": "no `chosen`", "row": {"prompt": "?"}}
    assert [row["where"] for row in written] == ["a.jsonl:7", "a.jsonl:9"]
    story.data_read([], [], tmp_path)
    assert not (tmp_path / "quarantine.jsonl").exists(), "that of rows which are mended"

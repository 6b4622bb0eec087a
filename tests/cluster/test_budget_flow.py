"""A whole search whose verdicts run out: cheaper measures, finals before another judge, what the finalist still can, and a resumption."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.small_search import RunningCommand, read_events, write_small_search
from tests.evals.test_capability import TASK
from tests.evals.test_reward_model import make_reward_model
from tests.hostile.canaries import CANARIES, leaks

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
PROMPTS = 42
# The base model, both seeds of both possible finalists, and one first rung of 25 prompts, but not two.
JUDGMENTS = PROMPTS + 2 * 2 * PROMPTS + 25 + 10
REASON = f"the budget of {JUDGMENTS} judgments is spent"
SETTINGS = """
[finals.judge]
kind = "verifier"
[finals.capability]
tasks = ["sums"]
task_files = "{root}"
[budget]
judgments = {judgments}
[ladder]
rungs = ["validation", "reward_model"]
prune = true
[ladder.reward_model]
kind = "reward_model"
model = "{root}/reward"
"""


@pytest.fixture(scope="module")
def rays_files() -> Iterator[Path]:
    """Where the search's Ray keeps its files: a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="daa-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def directory(tiny_model: Path, rays_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that has ended, and ended well, with keys and tokens in its environment."""
    root = tmp_path_factory.mktemp("budget")
    settings = write_small_search(root, tiny_model, trials=3, steps=8, methods=("dpo", "simpo"))
    settings.write_text(
        settings.read_text().replace("finalists = 2", "finalists = 1").replace("workers = 1", "workers = 1\nturns = true")
        + SETTINGS.format(root=root, judgments=JUDGMENTS)
    )
    make_reward_model(root / "reward", tiny_model)
    (root / "sums.jsonl").write_text("".join(json.dumps({"a": n, "b": 2, "answer": str(n + 2)}) + "\n" for n in range(6)))
    task = TASK.format(name="sums", data=root / "sums.jsonl", kind="generate_until", metric="exact_match", mean="mean", shots=0)
    (root / "sums.yaml").write_text(task)
    with pytest.MonkeyPatch.context() as planted:
        for name, value in {**CANARIES, "RAY_TMPDIR": str(rays_files)}.items():
            planted.setenv(name, value)
        output = RunningCommand("search", str(settings), "--dir", str(root / "run"), directory=root).wait(500)
    assert "Traceback" not in output
    assert f"{REASON}: the search ends with what is known" in output
    assert "winner:" in output
    return root / "run"


def named(events: Sequence[Mapping[str, Any]], *names: str) -> list[Mapping[str, Any]]:
    return [event for event in events if event["event"] in names]


def judged(events: Sequence[Mapping[str, Any]]) -> int:
    """How many verdicts were asked for; a checkpoint's later score holds its earlier ones."""
    latest = {(event["event"], event.get("run", event.get("trial")), event.get("step")): len(event["verdicts"]) for event in events}
    return sum(latest.values())


def test_no_key_of_the_environment_is_in_what_a_search_or_its_ray_wrote(directory: Path, rays_files: Path) -> None:
    assert list(rays_files.rglob("*.log")) and (directory / "report.html").is_file()
    assert leaks(directory.parent) + leaks(rays_files) == []


def test_verdicts_that_run_out_end_the_search_and_leave_the_finals_theirs(directory: Path) -> None:
    events = read_events(directory)
    (spent,) = named(events, "spent")
    assert (spent["reason"], spent["finals"]) == (REASON, False)
    trials = [event["trial"] for event in named(events, "trial") if "until" not in event]
    ends = {event["trial"]: event for event in named(events, "end")}
    assert set(trials) <= ends.keys()
    unscored = set(trials) - {event["trial"] for event in named(events, "score")}
    assert unscored, "every trial has a score"
    assert {(ends[trial]["status"], ends[trial]["reason"]) for trial in unscored} == {("stopped", REASON)}
    answer = json.loads((directory / "answer.json").read_text())
    assert answer["is_fresh"]
    assert {each["seeds"] for each in answer["finalists"]} == {2}
    assert answer["spent"]["judgments"] == judged(named(events, "baseline", "score", "held_out")) <= JUDGMENTS
    assert "the same to the last digit" in RunningCommand("replay", str(directory), directory=directory).wait(60)


def test_the_finals_are_before_a_judge_whom_the_search_never_asked(directory: Path) -> None:
    events = read_events(directory)
    judges = {name: {event["scorecard"]["judge"] for event in named(events, name)} for name in ("score", "held_out")}
    assert len(judges["score"]) == len(judges["held_out"]) == 1
    assert judges["score"] != judges["held_out"]
    assert all(len(event["verdicts"]) == PROMPTS for event in named(events, "held_out"))


def test_cheaper_measures_are_taken_and_decide_nothing_while_they_are_not_trusted(directory: Path) -> None:
    events = read_events(directory)
    rulings = named(events, "ladder")
    assert {event["rung"] for event in rulings} == {"validation", "reward_model"}
    assert {event["action"] for event in rulings} == {"judge"}
    # So few prompts leave no pair of theirs to be held out.
    assert {event["value"] for event in rulings if event["rung"] == "validation"} == {None}
    assert all(0 < event["value"] < 100 for event in rulings if event["rung"] == "reward_model")
    assert all(event["proxies"].keys() == {"reward_model"} for event in named(events, "score"))
    assert json.loads((directory / "answer.json").read_text())["correlations"].keys() == {"reward_model"}


def test_the_base_model_and_the_finalist_are_asked_what_they_still_can(directory: Path) -> None:
    best = json.loads((directory / "answer.json").read_text())["finalists"][0]
    asked = named(read_events(directory), "capability")
    assert asked[0]["trial"] == "base"
    assert best["checkpoint"] in {event["checkpoint"] for event in asked}
    assert {(score["benchmark"], score["judged"]) for event in asked for score in event["scores"]} == {("capability sums", 6)}


def test_resumed_finals_whose_hours_are_over_begin_no_run_and_answer_with_what_is_scored(directory: Path) -> None:
    file, settings = directory / "ledger.jsonl", directory / "settings.json"
    lines = file.read_text().splitlines(keepends=True)
    # As a driver leaves it that dies when the first seed is scored.
    cut = next(number for number, line in enumerate(lines) if json.loads(line)["event"] == "held_out")
    file.write_text("".join(lines[: cut + 1]))
    found = json.loads(settings.read_text())
    settings.write_text(json.dumps(found | {"budget": {"hours": 1e-4}}))
    output = RunningCommand("search", "--resume", str(directory), directory=directory).wait(300)
    assert "Traceback" not in output
    events = read_events(directory)
    after = events[cut + 1 :]
    assert [event["reason"] for event in named(after, "spent") if event["finals"]] == ["the budget of 0.0001 hours is spent"]
    assert named(after, "held_out", "attempt", "capability") == []
    answer = json.loads((directory / "answer.json").read_text())
    assert [(each["trial"], each["seeds"]) for each in answer["finalists"]] == [(events[cut]["trial"], 1)]
    assert "The finals ended early: the budget of 0.0001 hours is spent." in answer["sentences"]

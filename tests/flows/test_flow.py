"""The whole loop on a real Ray with two DeepSpeed workers and a real vLLM engine, while its processes die."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.small_search import RunningCommand, read_events, wait_until, write_small_search
from tests.search.events import LEADERBOARD_KEYS
from tests.test_docs import block

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(1800)]
TRIALS = 5
# A method of ours, one that couples the batch in a sum with another, and the one that the documents show.
METHODS = ("rpo_bwd", "kto+sft", "my_po:MyPO")


def scores(directory: Path) -> list[tuple[str, int, int]]:
    return [(event["trial"], event["step"], len(event["verdicts"])) for event in read_events(directory) if event["event"] == "score"]


def kill(running: RunningCommand, title: str) -> None:
    victims = running.processes(title)
    assert victims, f"no process is called {title}"
    victims[0].send_signal(signal.SIGKILL)


def test_a_search_goes_on_when_a_worker_an_engine_and_at_last_the_driver_are_killed(tiny_model: Path, tmp_path: Path) -> None:
    settings = write_small_search(tmp_path, tiny_model, TRIALS, steps=120, methods=METHODS)
    settings.write_text(settings.read_text().replace("workers = 1\ncpus_per_worker = 1", "workers = 2\ncpus_per_worker = 0.5"))
    (tmp_path / "my_po.py").write_text(block("python"))
    directory = tmp_path / "run"
    first = RunningCommand("search", str(settings), "--dir", str(directory), directory=tmp_path)
    wait_until(lambda: len(scores(directory)) >= 2, 400, "two scores")
    kill(first, "ray::RayTrainWorker")
    kill(first, "ray::EngineActor")
    before = len(scores(directory))
    wait_until(lambda: len(scores(directory)) >= before + 2, 400, "two more scores after a worker and the engine died")
    first.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not first.processes(), 120, "nothing is left of the killed driver's processes")

    second = RunningCommand("search", "--resume", str(directory), directory=tmp_path)
    output = second.wait(700)

    assert "Traceback" not in output
    assert "winner:" in output
    check_ledger(directory)
    check_products(directory)
    assert "the same to the last digit" in RunningCommand("replay", str(directory), directory=tmp_path).wait(120)
    wait_until(lambda: not second.processes(), 120, "nothing is left of the search's processes")


def check_ledger(directory: Path) -> None:
    """Nothing was lost, and nothing was measured twice."""
    events = read_events(directory)
    trials = [event["trial"] for event in events if event["event"] == "trial" and "until" not in event]
    finals = [event["trial"] for event in events if event["event"] == "trial" and "until" in event]
    ended = [event["trial"] for event in events if event["event"] == "end"]
    assert len(trials) == len(set(trials)) == TRIALS
    assert sorted(ended) == sorted([*trials, *finals])
    held_out = [event["run"] for event in events if event["event"] == "held_out"]
    assert len(held_out) == len(set(held_out)) == 2 * len(finals)
    assert max(Counter(scores(directory)).values()) == 1
    assert sum(event["event"] == "baseline" for event in events) == 1
    assert max(event["attempt"] for event in events if event["event"] == "attempt") >= 2
    for event in events:
        if event["event"] == "score":
            verdicts = event["verdicts"]
            assert len(verdicts) in {25, 42}
            assert event["scorecard"]["win_rate"] == pytest.approx(100 * sum(verdicts.values()) / len(verdicts))


def check_products(directory: Path) -> None:
    """The files of a run are there, agree with each other, and the winner loads."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = json.loads((directory / "leaderboard.json").read_text())
    assert all(set(row) >= LEADERBOARD_KEYS for row in rows)
    assert len(rows) == TRIALS + 1
    assert "base" in {row["trial"] for row in rows}
    places = [(row["judged"] + row["unreadable"], row["win_rate"]) for row in rows]
    assert places == sorted(places, reverse=True)
    assert all(row["low"] <= row["win_rate"] <= row["high"] for row in rows)
    assert {row["method"] for row in rows} >= set(METHODS)
    answer = json.loads((directory / "answer.json").read_text())
    best = answer["finalists"][0]
    assert {each["seeds"] for each in answer["finalists"]} == {2}
    assert "dpo" in {each["method"] for each in answer["finalists"]}, "the control is missing"
    assert AutoModelForCausalLM.from_pretrained(best["checkpoint"]).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(best["checkpoint"]).chat_template
    assert best["trial"] in (directory / "report.html").read_text()
    assert json.loads((directory / "settings.json").read_text())["name"] == "small"
    assert not list(directory.glob("checkpoints/*/*/engine")), "optimiser states of finished trials are still there"

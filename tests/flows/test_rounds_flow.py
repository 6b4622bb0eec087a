"""Rounds on a real Ray, with real engines and workers: killed in the middle they go on, and a search has them among its choices."""

import json
import signal
from pathlib import Path

import pytest

from evals.prompts import load_prompts
from orchestrator.preferences.reading import load_pairs
from tests.cluster.small_search import RunningCommand, read_events, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
# A world that is made in seconds; its model has learnt to end its answers, and little else.
_SETTINGS = """
name = "rounds"
method = "simpo"
cache = "{root}/cache"
data.context = 64
judge.kind = "verifier"
[world]
kind = "tasks"
steps = 120
crowd_steps = 10
train_prompts = 60
search_prompts = 30
held_out_prompts = 30
[training]
learning_rate = 2e-4
batch_size = 8
micro_batch_tokens = 512
steps = {steps}
checkpoints = {checkpoints}
precision = "fp32"
[evaluation]
temperature = 0.7
max_tokens = 16
max_model_len = 64
veto = []
[rounds]
count = 2
first = "{first}"
scorers = [{{ kind = "length" }}]
generation = {{ responses = 6, temperature = 1.0, top_p = 1.0, max_tokens = 16 }}
evolution = {{ factor = 20.0, instructions = ["{{prompt}}", "Write twice: {{prompt}}"] }}
[cluster]
workers = 2
cpus_per_worker = 0.5
"""
_SEARCH = """
[search]
methods = ["simpo"]
trials = 2
doubt = inf
searcher = "grid"
censor = []
[search.space]
rounds.count.options = [2]
selection.metric.options = ["random"]
simpo.beta.options = [2.0]
simpo.gamma_over_beta.options = [0.5]
dpo.beta.options = [0.1]
[finals]
finalists = 1
seeds = 1
"""


def write_settings(root: Path, extra: str = "", **given: object) -> Path:
    """A settings file under `root`."""
    file = root / "rounds.toml"
    file.write_text(_SETTINGS.format(root=root, **given) + extra)
    return file


@pytest.mark.faults
def test_rounds_that_are_killed_go_on_and_train_each_round_on_the_newest_models_answers(tmp_path: Path) -> None:
    settings, directory = write_settings(tmp_path, steps=10, checkpoints=2, first="generate"), tmp_path / "run"
    first = RunningCommand("rounds", str(settings), "--dir", str(directory))
    second_round = directory / "round-02"
    wait_until((second_round / "made.json").exists, 500, "the second round has its data")
    first.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not first.processes(), 120, "nothing is left of the killed command's processes")
    made = (second_round / "made.json").stat().st_mtime_ns

    output = RunningCommand("rounds", str(settings), "--dir", str(directory)).wait(500)

    assert "teaching a model" not in output
    assert "6 answers to each" not in output
    assert (second_round / "made.json").stat().st_mtime_ns == made
    results = json.loads((directory / "rounds.json").read_text())
    assert [result["number"] for result in results] == [1, 2]
    assert results[1]["made"]["model"] == results[0]["model"]
    assert all(len(result["verdicts"]) == 30 and Path(result["model"]).is_dir() for result in results)
    assert (directory / "rounds.md").read_text().count("\n") == 4
    pairs = load_pairs(second_round / "pairs.jsonl")
    (practice,) = (tmp_path / "cache" / "worlds").glob("tasks-*/practice.jsonl")
    assert {pair.prompt for pair in pairs} - {prompt.messages for prompt in load_prompts(practice).prompts}, "no prompt was evolved"
    assert not any(pair.chosen.startswith(" ") for pair in pairs), "the texts do not encode to the tokens that were generated"
    for pair in pairs:
        assert pair.chosen_reward is not None
        assert pair.rejected_reward is not None
        assert pair.chosen_reward > pair.rejected_reward


@pytest.mark.long
def test_a_model_answers_each_prompt_several_times_and_is_not_asked_again(tiny_model: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"say {word}"}) + "\n" for word in ("fox", "dog", "bird")))
    command = ("generate", str(tiny_model), "--prompts", str(prompts), "--responses", "4", "--temperature", "2", "--max-tokens", "40")
    directory = tmp_path / "answers"
    told, asked = [], []
    for _ in range(2):
        RunningCommand(*command, "--max-model-len", "64", "--dir", str(directory)).wait(300)
        told.append(json.loads((directory / "made.json").read_text()))
        asked.append(sorted((file.name, file.read_bytes()) for file in directory.rglob("*.jsonl")))
    assert (told[0]["prompts"], told[0]["replies"]) == (3, 12)
    assert told[0]["kept"] + told[0]["alike"] + told[0]["without"] == 3
    assert {**told[1], "seconds": 0, "tokens_per_second": 0} == {**told[0], "seconds": 0, "tokens_per_second": 0}
    assert asked[0] == asked[1] != []


def test_a_search_trains_a_trials_second_half_on_its_own_answers(tmp_path: Path) -> None:
    settings, directory = write_settings(tmp_path, _SEARCH, steps=8, checkpoints=2, first="data"), tmp_path / "run"
    settings.write_text(settings.read_text().replace("workers = 2", "workers = 1"))
    output = RunningCommand("search", str(settings), "--dir", str(directory)).wait(800)
    assert "winner:" in output
    events = read_events(directory)
    trials = [event["trial"] for event in events if event["event"] == "trial"]
    rounds = {event["trial"]: event for event in events if event["event"] == "round"}
    assert sorted(rounds) == sorted(trials)
    for trial, told in rounds.items():
        assert told["number"] == 2
        assert told["model"] == str(directory / "checkpoints" / trial / "step-000004" / "model")
        lines = (directory / "rounds" / trial / "round-02" / "pairs.jsonl").read_text().splitlines()
        assert len(lines) == told["pairs"]
    assert {event["step"] for event in events if event["event"] == "score"} == {4, 8}
